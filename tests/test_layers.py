"""Imports point one way, and what must not be in a worker is not imported there."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: From top to bottom: a module may import from its own layer and from those below.
LAYERS = (
    "testing", "cli", "server", "agent", "control", "proxy", "observe", "net", "defaults", "api", "hooks", "model", "shared", "http",
)  # fmt: skip
#: Modules that are part of a layer without lying in its package.
BELONGS = {
    "testing_balancers": "testing", "testing_calls": "testing", "testing_echo": "testing", "testing_gateway": "testing",
    "commands": "cli", "scaffold": "cli", "__main__": "cli", "plugin_template": "cli",
}  # fmt: skip
GEVENT = ("net", "server", "agent")
NOWHERE = ("flask", "flask_login", "sqlalchemy", "alembic", "admin_ui", "jinja2")


def modules() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "gateway").rglob("*.py"))


def layer_of(dotted: str) -> str:
    """Return the layer of a module such as ``gateway.proxy.router``; empty for the package itself."""
    first = [*dotted.split("."), ""][1]
    return BELONGS.get(first, first)


def imports(path: str, run_time_only: bool) -> Iterator[tuple[int, str]]:
    """Yield line and module of every import; those for type checkers alone are left out when told."""
    yield from _imports(ast.parse((ROOT / path).read_text()), run_time_only)


def _imports(node: ast.AST, run_time_only: bool) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        assert node.module
        yield node.lineno, node.module
        if node.module == "gateway":
            yield from ((node.lineno, f"gateway.{alias.name}") for alias in node.names)
    elif run_time_only and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for child in node.orelse:
            yield from _imports(child, run_time_only)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, run_time_only)


def test_every_module_belongs_to_a_layer():
    layers = {layer_of(path.removesuffix(".py").replace("/", ".")) for path in modules()}
    assert layers - {"__init__", ""} <= set(LAYERS)


@pytest.mark.parametrize("path", modules())
def test_imports_point_down(path):
    own = layer_of(path.removesuffix(".py").replace("/", "."))
    if own == "__init__":
        return
    for line, module in imports(path, run_time_only=True):
        if module.startswith("gateway.") and layer_of(module) in LAYERS:
            assert LAYERS.index(layer_of(module)) >= LAYERS.index(own), f"{path}:{line} imports {module} from a higher layer"


@pytest.mark.parametrize("path", modules())
def test_libraries_stay_in_their_layers(path):
    own = layer_of(path.removesuffix(".py").replace("/", "."))
    for line, module in imports(path, run_time_only=False):
        library = module.split(".")[0]
        assert library not in NOWHERE, f"{path}:{line} imports {module}"
        if library in ("gevent", "greenlet", "gunicorn"):
            assert own in GEVENT, f"{path}:{line} imports {module}"
        if library == "requests":
            assert own == "agent", f"{path}:{line} imports {module}"


@pytest.mark.parametrize("path", sorted(str(p.relative_to(ROOT)) for p in (ROOT / "plugins").glob("*/gateway_*/**/*.py")))
def test_plugins_import_the_api_and_nothing_else_of_ours(path):
    package = path.split("/")[2]
    for line, module in imports(path, run_time_only=False):
        if module.split(".")[0].startswith("gateway"):
            assert module == "gateway.api" or module.split(".")[0] == package, f"{path}:{line} imports {module}"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from gateway.commands.check import command", ("gevent", "gunicorn", "requests")),
        ("from gateway.cli import main", ("gevent", "gunicorn", "requests", "pydantic", "gateway.hooks")),
        ("import gateway.api", ("gevent", "gunicorn", "requests", "yaml", "gateway.control", "gateway.proxy")),
        ("import gateway.testing", ("gevent", "gunicorn", "requests", "gateway.control", "gateway.proxy")),
        ("import gateway.server.worker, gateway.server.core", ("requests", "yaml", "flask", "sqlalchemy")),
    ],
)
def test_a_process_loads_only_what_it_needs(code, absent):
    script = f"{code}\nimport sys\nprint(*[name for name in {absent!r} if name in sys.modules])"
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
