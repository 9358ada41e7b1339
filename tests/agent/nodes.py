"""An agent as a process, with the test in the place of master and workers."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import requests

from gateway.agent import frames, local
from gateway.agent.settings import NodeSettings
from gateway.agent.state import StateDirectory
from gateway.shared.arena import Arena
from gateway.shared.board import Board
from tests.server.running import eventually


def _pool(number: int) -> dict[str, Any]:
    return {"name": f"pool{number}", "members": [{"address": "127.0.0.1:1"}]}


class FakeWorker:
    """A worker's end of the agent's socket, without gevent."""

    def __init__(self, node: "Node", worker: int = 0, digest: str = "", known: bool = True) -> None:
        self.node = node
        self.pid = 1000 + worker
        if known:
            node.board.occupy(worker, worker, self.pid)
        eventually(node.state.socket.exists, "the agent listens")
        self.sock = local.connect(node.state.socket)
        node.workers.append(self)
        self.sock.settimeout(20)
        self.send("hello", worker=worker, pid=self.pid, revision=0, digest=digest, plugins={}, failed_plugins={})

    def send(self, kind: str, **fields: Any) -> None:
        self.sock.sendall(frames.encode({"type": kind, **fields}))

    def receive(self) -> frames.Message:
        message = frames.receive(self.sock)
        assert message is not None, "the agent hung up"
        return message

    def expect(self, kind: str) -> frames.Message:
        """Return the next message of this type, passing over others."""
        while True:
            message = self.receive()
            if message["type"] == kind:
                return message

    def quiet(self) -> bool:
        """Tell whether the agent says nothing for a moment but to ask for the status."""
        self.sock.settimeout(0.3)
        try:
            while self.receive()["type"] == "report":
                pass
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(20)
        return False


class Node:
    """Everything an agent needs, and the agent."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "gateway.json"
        self.state = StateDirectory(directory / "var")
        self.state.prepare()
        self.arena = Arena(1 << 26)
        self.board = Board(self.arena)
        self.management = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.management.getsockname()[1]}"
        self.log = directory / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.workers: list[FakeWorker] = []

    def write(self, pools: int | list[dict[str, Any]] = 1, **changes: Any) -> None:
        data = {
            "version": 1,
            "listeners": [{"name": "web", "address": "127.0.0.1:1"}],
            "pools": pools if isinstance(pools, list) else [_pool(number) for number in range(pools)],
            "routes": [],
            **changes,
        }
        fresh = self.config.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(data))
        fresh.replace(self.config)

    def start(self) -> "Node":
        settings = NodeSettings(config=self.config, state=self.state.path, log_level="debug")
        descriptors = self.arena.fd, self.management.fileno()
        arguments = {"settings": settings.model_dump(mode="json"), "arena": descriptors[0], "management": descriptors[1]}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.agent", orjson.dumps(arguments).decode()], pass_fds=descriptors, stdout=log, stderr=log
            )
        return self

    def up(self) -> "Node":
        """Wait until the agent has taken over."""
        assert self.process is not None
        eventually(lambda: self.board.agent == self.process.pid or self.process.poll() is not None, "the agent is up")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=20, **kwargs)

    def status(self) -> dict[str, Any]:
        return self.get("/status").json()

    def revision(self, revision: int) -> dict[str, Any]:
        """Wait until this revision is in force and return the status."""
        return eventually(lambda: (now := self.status())["revision"] == revision and now, f"revision {revision}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.process.wait(10)

    def close(self) -> None:
        for worker in self.workers:
            worker.sock.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.management.close()
        self.arena.close()
