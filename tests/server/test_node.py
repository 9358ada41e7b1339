"""A whole node with its real workers, in front of a real backend."""

import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.server.running import Running, alive, eventually

ADD_HEADER = """
from gateway.api import Plugin, hookimpl
class Plug(Plugin):
    "Mark responses."
    name = "{name}"
    @hookimpl
    def transform_response(self, exchange):
        exchange.response.headers.set("X-Plug", "{value}")
"""


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def node(tmp_path: Path, backend: str) -> Iterator[Running]:
    node = Running(tmp_path, program=None)
    node.write(pools=[{"name": "users", "members": [{"address": backend}]}])
    yield node
    if node.process is not None:
        node.stop()


def get(node: Running, path: str = "/") -> requests.Response:
    return requests.get(f"http://127.0.0.1:{node.port}{path}", timeout=10)


def pools(backend: str) -> list[dict[str, Any]]:
    return [{"name": "users", "members": [{"address": backend}]}]


def test_a_change_of_the_file_reaches_every_worker(node: Running, backend: str):
    node.start()
    assert get(node, "/anything").text == "/anything"
    node.write(pools=pools(backend), routes=[{"name": "only", "pool": "users", "match": {"paths": ["/only"]}}])
    eventually(lambda: {worker["revision"] for worker in node.status()["workers"]} == {2}, "both workers have it")
    assert get(node, "/only").status_code == 200
    assert get(node, "/anything").status_code == 404


def test_survives_the_death_of_a_worker_and_of_the_agent(node: Running):
    node.start()
    before, agent = node.workers(), node.agent_pid()
    os.kill(before[0], signal.SIGKILL)
    os.kill(agent, signal.SIGKILL)
    assert get(node).status_code == 200
    eventually(lambda: node.workers().get(0, before[0]) != before[0] and node.status()["digest"], "both are there again")
    eventually(lambda: all(worker["connected"] for worker in node.status()["workers"]), "the agent knows every worker")


def test_a_plugin_installed_while_it_runs_acts_after_a_reload(node: Running, backend: str):
    node.start()
    old = node.workers()
    node.install("stamp", ADD_HEADER.format(name="stamp", value="one"))
    node.write(pools=pools(backend), policies=[{"plugin": "stamp"}])
    answers: list[int] = []
    ending = threading.Event()

    def send() -> None:
        while not ending.is_set():
            answers.append(get(node).status_code)

    sender = threading.Thread(target=send)
    sender.start()
    result = node.reload()
    ending.set()
    sender.join()
    assert result.returncode == 0, result.stderr
    assert set(answers) == {200}
    eventually(lambda: not any(map(alive, old.values())), "the old workers have gone")
    assert get(node).headers["X-Plug"] == "one"


def test_metrics_of_all_workers_are_added_up_and_outlive_them(node: Running):
    node.start()
    for _ in range(20):
        get(node)
    counted = 'gateway_requests_total{listener="web",route="all",method="GET",status="200"} 20\n'
    eventually(lambda: counted in node.manage("/metrics").text, "all were counted")
    os.kill(node.workers()[0], signal.SIGKILL)
    eventually(lambda: node.status()["workers"][0]["ready"], "replaced")
    assert counted in node.manage("/metrics").text
