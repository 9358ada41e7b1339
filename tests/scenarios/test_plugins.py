"""Plugins that are installed, broken, missing, new, or raise: what they do to a running gateway, in an environment of its own."""

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import Echo
from tests.scenarios.backend import Backend
from tests.scenarios.load import Load
from tests.scenarios.node import Node, eventually

BROKEN = {"broken": "import a_database_that_is_not_here", "gone": "import sys\nsys.exit('no licence')"}
RAISER = '''
from gateway.api import Plugin, Response, hookimpl


class Raiser(Plugin):
    """Raise in one hook."""

    name = "raiser"

    class Config(Plugin.Config):
        hook: str

    def __init__(self, config, policy):
        super().__init__(config, policy)
        if config.hook != "authenticate":
            self.unused = {"authenticate"}  # else nobody may pass who has no credentials

    def _at(self, hook):
        if self.config.hook == hook:
            raise RuntimeError(f"raised in {hook}")

    @hookimpl
    def start(self, worker): self._at("start")

    @hookimpl
    def authenticate(self, exchange): self._at("authenticate")

    @hookimpl
    def authorize(self, exchange): self._at("authorize")

    @hookimpl
    def limit(self, exchange): self._at("limit")

    @hookimpl
    def transform_request(self, exchange): self._at("transform_request")

    @hookimpl
    def respond(self, exchange): self._at("respond")

    @hookimpl
    def select_backend(self, exchange, candidates): self._at("select_backend")

    @hookimpl
    def aggregate(self, exchange, parts): self._at("aggregate")

    @hookimpl
    def transform_response(self, exchange): self._at("transform_response")

    @hookimpl
    def log(self, exchange): self._at("log")
'''
DECIDING = ("authenticate", "authorize", "limit")
SKIPPED = ("transform_request", "respond", "select_backend", "transform_response", "log")


class Environment:
    """A virtual environment that sees what is installed for the tests, and what is installed into it."""

    def __init__(self, directory: Path) -> None:
        venv.create(directory, symlinks=True, with_pip=False)
        self.python = directory / "bin" / "python"
        site = directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        (site / "tests.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        self._sources = directory / "sources"

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run a program of this environment to its end; return its output."""
        done = subprocess.run([str(self.python), "-m", *arguments], cwd=cwd, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, *distributions: Path) -> None:
        """Install with pip, from sources, without a network."""
        self.run("pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", *map(str, distributions))

    def distribution(self, name: str, source: str) -> Path:
        """Write a distribution with one plugin, which is called as it is, and return its directory."""
        directory = self._sources / name
        directory.mkdir(parents=True)
        (directory / f"acme_{name}.py").write_text(source)
        (directory / "setup.cfg").write_text(
            f"[metadata]\nname = acme-{name}\nversion = 2.1\n[options]\npy_modules = acme_{name}\n"
            f"[options.entry_points]\ngateway.plugins =\n    {name} = acme_{name}:{name.capitalize()}\n"
        )
        (directory / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n')
        return directory


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("environment"))
    sources = {"raiser": RAISER, **BROKEN}
    environment.install(*(environment.distribution(name, source) for name, source in sources.items()))
    return environment


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    backend = Backend("one")
    yield backend
    backend.kill()


def raising(hook: str, **fields: Any) -> dict[str, Any]:
    return {"plugin": "raiser", "name": f"raise-{hook}", "config": {"hook": hook}, **fields}


def route(path: str, *policies: dict[str, Any]) -> dict[str, Any]:
    return {"name": path, "match": {"paths": [f"/{path}"]}, "pool": "echo", "policies": list(policies)}


@pytest.fixture(scope="module")
def node(environment, echo, tmp_path_factory) -> Iterator[Node]:
    """A gateway with a route for each hook, on which a plugin raises; the plugin of a good distribution acts everywhere."""
    parts = [{"name": "a", "pool": "echo", "path": "/a"}, {"name": "b", "pool": "echo", "path": "/b"}]
    configuration = {
        "pools": [{"name": "echo", "members": [{"address": echo.address}]}],
        "policies": [{"plugin": "headers", "config": {"response": {"set": {"X-Good": "yes"}}}}],
        "routes": [
            *(route(hook, raising(hook)) for hook in (*DECIDING, *SKIPPED, "start")),
            *(route(f"shadow-{hook}", raising(hook, enforce=False)) for hook in DECIDING),
            route("sometimes", raising("select_backend", when={"methods": ["GET"]})),
            {"name": "aggregate", "match": {"paths": ["/aggregate"]}, "compose": {"parts": parts}, "policies": [raising("aggregate")]},
            route("fine"),
        ],
    }
    node = Node(tmp_path_factory.mktemp("plugins"), configuration, python=environment.python)
    yield node
    assert node.stop() == 0


def counted(node: Node, metric: str, **labels: str) -> float:
    """Return the sum of a metric's series that have these labels."""
    wanted = [f'{name}="{value}"' for name, value in labels.items()]
    lines = node.manage("/metrics").content.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric) and all(word in line for word in wanted))


def test_broken_distributions_beside_good_ones_are_named_and_cost_nothing(node, environment):
    reply = node.get("/fine")
    assert reply.status == 200 and reply.headers.get("X-Good") == "yes"
    failed = node.wait_for(lambda status: status["failed_plugins"], "to say which plugins are broken")["failed_plugins"]
    assert set(failed) == {"broken", "gone"}
    assert failed["broken"] == "acme-broken 2.1: ModuleNotFoundError: No module named 'a_database_that_is_not_here'"
    assert failed["gone"] == "acme-gone 2.1: SystemExit: no licence"
    for reason in failed.values():
        assert reason in node.log
    assert counted(node, "gateway_failed_plugins") == 2
    listed = subprocess.run([environment.python, "-m", "gateway", "plugin", "list"], capture_output=True, text=True, timeout=60)
    assert listed.returncode == 1 and "broken: not usable: acme-broken 2.1" in listed.stderr


@pytest.mark.parametrize("hook", DECIDING)
def test_a_plugin_that_raises_where_it_decides_lets_nobody_pass(node, echo, hook):
    before = len(echo.requests)
    reply = node.get(f"/{hook}")
    assert (reply.status, reply.json()["code"]) == (503, "plugin_failed")
    assert "raised" not in reply.content.decode(), "why is for the log"
    assert len(echo.requests) == before
    assert counted(node, "gateway_plugin_errors_total", plugin="raiser", hook=hook, policy=f"route/{hook}/raise-{hook}") == 1
    line = next(line for line in node.log.splitlines() if reply.json()["exchange"] in line and "raiser failed" in line)
    assert f"route {hook}: plugin raiser failed in {hook}" in line
    assert f"raised in {hook}" in node.log


@pytest.mark.parametrize("hook", DECIDING)
def test_in_shadow_mode_a_plugin_that_raises_is_counted_and_lets_everybody_pass(node, hook):
    assert node.get(f"/shadow-{hook}").status == 200
    assert counted(node, "gateway_plugin_errors_total", hook=hook, policy=f"route/shadow-{hook}/raise-{hook}") == 1


@pytest.mark.parametrize("hook", SKIPPED)
def test_a_plugin_that_raises_where_it_does_not_decide_is_skipped_and_counted(node, echo, hook):
    before = len(echo.requests)
    reply = node.get(f"/{hook}")
    assert reply.status == 200 and reply.headers.get("X-Good") == "yes"
    assert len(echo.requests) == before + 1
    eventually(lambda: counted(node, "gateway_plugin_errors_total", policy=f"route/{hook}/raise-{hook}", hook=hook) == 1, "it is counted")


def test_a_plugin_that_raises_only_sometimes_is_named_all_the_same(node):
    assert node.get("/sometimes").status == 200
    assert counted(node, "gateway_plugin_errors_total", policy="route/sometimes/raise-select_backend", hook="select_backend") == 1


def test_a_plugin_that_raises_in_aggregate_leaves_it_to_the_plain_merge(node):
    reply = node.get("/aggregate")
    assert reply.status == 200
    assert set(reply.json()) == {"a", "b"}
    assert counted(node, "gateway_plugin_errors_total", plugin="raiser", hook="aggregate") == 1


def test_a_plugin_that_cannot_start_makes_its_policy_unavailable(node):
    reply = node.get("/start")
    assert (reply.status, reply.json()["code"]) == (503, "policy_unavailable")
    assert "RuntimeError: raised in start" in node.log


def test_a_new_plugin_installed_into_a_running_gateway_acts_after_a_reload_and_nothing_is_lost(environment, backend, tmp_path):
    configuration = {
        "pools": [{"name": "backend", "members": [{"address": backend.address}]}],
        "routes": [{"name": "all", "pool": "backend"}],
    }
    node = Node(tmp_path / "node", configuration, workers=2, python=environment.python)
    try:
        with Load(node.address, lambda number: f"/slow/0.0{number % 3}", fields="X-Ticket: 7\r\n") as load:
            environment.run("gateway", "plugin", "new", "ticket_check", cwd=tmp_path)
            environment.install(tmp_path / "gateway-ticket-check")
            node.write(policies=[{"plugin": "ticket_check"}])
            eventually(lambda: node.status()["refused"], "running workers do not know the plugin yet")
            assert node.get("/").status == 200
            assert "new workers serve" in node.reload()
            eventually(lambda: node.get("/").status == 403, "the plugin refuses those without a ticket")
            load.more(40)
        load.report("a plugin installed under load")
        assert load.failed == []
        reply = node.get("/")
        assert reply.json()["code"] == "ticket_check"
        status = node.status()
        assert status["refused"] is None
        assert all(worker["plugins"]["ticket_check"] == "0.1.0" for worker in status["workers"])
    finally:
        assert node.stop() == 0
