"""A gateway as a process, for tests: started, watched, signalled and ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import requests

STANDIN = Path(__file__).with_name("standin.py")
GATEWAY = [sys.executable, "-c", "from gateway.cli import main; main()"]
PATIENCE_S = 30.0


def eventually(condition: Callable[[], Any], what: str = "", patience_s: float = PATIENCE_S) -> Any:
    """Wait until the condition holds and return what it returned."""
    limit = time.monotonic() + patience_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < limit, f"never happened: {what or condition}"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


class Running:
    """A gateway, with stand-in workers unless ``program`` is ``None``. ``write`` changes its configuration, ``start`` starts it."""

    def __init__(self, directory: Path, program: Path | None = STANDIN) -> None:
        self.directory = directory
        self.program = program
        self.config = directory / "gateway.json"
        self.state = directory / "var"
        self.broken = directory / "broken"
        self.plugins = directory / "site"
        self.log = directory / "log"
        self.port, self.management, self.second_port = free_ports(3)
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.write()

    def configuration(self, **changes: Any) -> dict[str, Any]:
        return {
            "version": 1,
            "listeners": [{"name": "web", "address": f"127.0.0.1:{self.port}"}],
            "pools": [{"name": "users", "members": [{"address": "127.0.0.1:1"}]}],
            "routes": [{"name": "all", "pool": "users"}],
            **changes,
        }

    def write(self, **changes: Any) -> None:
        """Put a configuration in place, in one step."""
        fresh = self.config.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(self.configuration(**changes)))
        fresh.replace(self.config)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that starts the gateway."""
        return [sys.executable, str(self.program), *arguments] if self.program else [*GATEWAY, *arguments]

    def start(self, *options: str, workers: int = 2, wait: bool = True, **kwargs: Any) -> "Running":
        arguments = ["proxy", "--config", str(self.config), "--state", str(self.state), "--workers", str(workers)]
        arguments += ["--management", f"127.0.0.1:{self.management}", "--drain", "5", *options]
        starts = self.output().count("Ready: ")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(*arguments), stdout=log, stderr=log, env=self._environment(), **kwargs)
        if wait:
            eventually(lambda: self.ended() or self.output().count("Ready: ") > starts, "ready")
            eventually(lambda: self.ended() or self.status()["digest"], "the agent knows the configuration")
            assert not self.ended(), self.output()
        return self

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the gateway to its end."""
        return subprocess.run([*GATEWAY, *arguments], capture_output=True, text=True, env=self._environment(), timeout=PATIENCE_S * 2)

    def reload(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run("reload", "--state", str(self.state), *options)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "STANDIN_BROKEN": str(self.broken), "PYTHONPATH": str(self.plugins), **self.environment}

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self) -> int:
        """End the gateway and return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE_S)

    # -- what it says of itself ----

    def manage(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.management}{path}", timeout=10, **kwargs)

    def ready(self) -> bool:
        try:
            return self.manage("/ready").status_code == 200
        except requests.ConnectionError:
            return False

    def status(self) -> dict[str, Any]:
        """Return the status page; waits while the agent of a gateway just started is not there yet."""
        return self.manage("/status").json()

    def workers(self) -> dict[int, int]:
        """Return the process ids of workers that are ready and stay, by index."""
        return {worker["worker"]: worker["pid"] for worker in self.status()["workers"] if worker["ready"] and not worker["draining"]}

    def agent_pid(self) -> int:
        """Return the process id of the agent: the master's child that is not a worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return next(int(child) for child in children if b"gateway.agent" in Path(f"/proc/{child}/cmdline").read_bytes())

    # -- traffic ----

    def get(self, path: str = "/", port: int = 0) -> list[int]:
        """Send a request and return the process id, index and revision of the worker that answered."""
        answer = requests.get(f"http://127.0.0.1:{port or self.port}{path}", timeout=10)
        assert answer.status_code == 200
        return [int(word) for word in answer.text.split()]

    def install(self, name: str, source: str) -> None:
        """Install a distribution with one plugin, which is called as the distribution."""
        self.plugins.mkdir(exist_ok=True)
        (self.plugins / f"{name}.py").write_text(source)
        about = self.plugins / f"{name}-1.0.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[gateway.plugins]\n{name} = {name}:Plug\n")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


GOOD_PLUGIN = """
from gateway.api import Plugin
class Plug(Plugin):
    "Do nothing."
    name = "{name}"
"""

__all__ = ["GOOD_PLUGIN", "Running", "alive", "eventually", "free_ports", "signal"]
