"""A gateway for tests: ``gateway proxy`` as a process of its own on free ports, with a client.

Part of the plugin author's kit; import it from ``gateway.testing``.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.http.headers import Headers


class NotRunning(Exception):
    """The gateway did not start, or ended; the message has the end of its log."""


class Refused(Exception):
    """The gateway runs on with its old configuration; the message says what is wrong with the new one."""


@dataclass
class Reply:
    """A response, read to its end."""

    status: int
    headers: Headers
    content: bytes

    def json(self) -> Any:
        """Return the content, parsed."""
        return json.loads(self.content)


class RunningGateway:
    """A gateway process. Configuration changes are written to its file and awaited."""

    def __init__(
        self,
        folder: Path,
        configuration: dict[str, Any],
        *,
        workers: int = 1,
        arguments: Iterable[str] = (),
        env: Mapping[str, str],
        python: str | Path = sys.executable,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address, self.management = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.configuration = {"listeners": [{"name": "web", "address": self.address}], **configuration, "version": 1}
        self._file = folder / "gateway.yaml"
        self._log = folder / "gateway.log"
        self._write()
        command = [
            str(python), "-m", "gateway", "proxy", "--config", str(self._file), "--state", str(folder / "state"),
            "--workers", str(workers), "--management", self.management, *arguments,
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **env}, start_new_session=True
            )
        try:
            self._await(lambda: self.manage("/ready").status == 200, "to be ready")
        except BaseException:
            self.stop()
            raise

    @property
    def log(self) -> str:
        """All that the gateway has said so far."""
        return self._log.read_text(errors="replace")

    def request(self, method: str, target: str, content: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request on a connection of its own and return the reply."""
        return _request(self.address, method, target, content, headers)

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a GET."""
        return self.request("GET", target, None, headers)

    def post(self, target: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Send a POST."""
        return self.request("POST", target, content, headers)

    def manage(self, target: str) -> Reply:
        """Ask the management address, such as ``/status`` or ``/metrics``."""
        return _request(self.management, "GET", target, None, None)

    def status(self) -> dict[str, Any]:
        """Return what the management address knows of the node."""
        found: dict[str, Any] = self.manage("/status").json()
        return found

    def wait_for(self, condition: Callable[[dict[str, Any]], object], what: str = "to be in the expected state") -> dict[str, Any]:
        """Wait until the status fits and return it."""
        self._await(lambda: bool(condition(self.status())), what)
        return self.status()

    def change(self, **pieces: Any) -> None:
        """Replace top-level parts of the configuration and wait until every worker runs from it. Raises Refused."""
        before = self.status()["digest"]
        self.configuration.update(pieces)
        self._write()
        self._await(lambda: self._runs_another(before), "to apply the new configuration")

    def stop(self, timeout_s: float = 20) -> int:
        """End the gateway and everything it started; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        _end_session(self.process.pid)  # a master that did not end, or was killed by a test, leaves workers and agent behind
        return self.process.wait(5)

    def _runs_another(self, before: str) -> bool:
        status = self.status()
        if status["refused"]:
            raise Refused(str(status["refused"]))
        return status["digest"] != before and all(worker.get("digest") == status["digest"] for worker in status["workers"])

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(self.configuration, sort_keys=False))
        fresh.replace(self._file)

    def _await(self, condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise NotRunning(f"the gateway ended with status {self.process.returncode} instead:\n{self.log[-4000:]}")
            try:
                if condition():
                    return
            except (OSError, http.client.HTTPException):  # nobody listens yet
                pass
            time.sleep(0.02)
        raise NotRunning(f"waited {timeout_s} s for the gateway {what}:\n{self.log[-4000:]}")


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _end_session(leader: int) -> None:
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.getsid(int(entry)) == leader:
                os.kill(int(entry), signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # it has ended meanwhile, or was never ours
            pass


def _request(address: str, method: str, target: str, content: bytes | None, headers: Mapping[str, str] | None) -> Reply:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, target, content, dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, Headers.of(response.getheaders()), response.read())
    finally:
        connection.close()
