"""The lifecycle in other people's WSGI servers: a threaded one, and gevent's own in a process of its own."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.validate import validator

import pytest

from gateway.server.wsgi import WsgiGateway
from gateway.testing import Answer, free_ports


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format, *arguments):
        pass


@pytest.fixture
def config(echo, tmp_path):
    path = tmp_path / "gateway.json"
    path.write_text(
        json.dumps(
            {
                "version": 1,
                "listeners": [],
                "pools": [{"name": "echo", "members": [{"address": echo.address}]}],
                "routes": [{"name": "api", "match": {"paths": ["/api"], "hosts": ["shop.test"]}, "pool": "echo", "strip_path": True}],
                "policies": [{"plugin": "headers", "config": {"response": {"set": {"X-Seen": "{id}"}}}}],
            }
        )
    )
    return path


@pytest.fixture
def threaded(config):
    server = make_server("127.0.0.1", 0, validator(WsgiGateway(str(config))), Threaded, Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(5)


def ask(port, method, target, content=None, headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target, content, {"Host": "shop.test", **dict(headers)})
        response = connection.getresponse()
        return response.status, response, response.read()
    finally:
        connection.close()


def test_a_threaded_server_carries_requests_through_every_hook(threaded, echo):
    status, response, content = ask(threaded, "POST", "/api/a%2Fb?x=1", b"hello", [("X-Forwarded-For", "6.6.6.6")])
    assert (status, json.loads(content)["content"]) == (200, "hello")
    assert response.headers["X-Seen"] == response.headers["X-Request-ID"]
    assert echo.last.method == "POST" and echo.last.query == "x=1"
    assert echo.last.headers.get("X-Forwarded-For") == "127.0.0.1"


def test_what_no_route_takes_is_a_404_with_a_code(threaded):
    status, _, content = ask(threaded, "GET", "/nothing")
    assert (status, json.loads(content)["code"]) == (404, "no_route")


def test_each_thread_has_connections_of_its_own(threaded, echo):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(threaded, "GET", "/api")[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [200] * 8


def test_a_large_response_streams(threaded, echo):
    content = os.urandom(1 << 20)
    echo.answer = lambda request: Answer(200, [("Content-Type", "application/octet-stream")], content)
    assert ask(threaded, "GET", "/api")[2] == content


def test_runs_under_gevents_own_server(config, echo):
    [port] = free_ports(1)
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "from gevent.pywsgi import WSGIServer\n"
        "from gateway.server.wsgi import application\n"
        f"WSGIServer(('127.0.0.1', {port}), application, log=None).serve_forever()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "GATEWAY_CONFIG": str(config)})
    try:
        end = time.monotonic() + 20
        while True:
            try:
                status, _, content = ask(port, "PUT", "/api/x", b"content")
                break
            except ConnectionRefusedError:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
        assert (status, json.loads(content)["content"]) == (200, "content")
        assert echo.last.path == "/x"
    finally:
        process.terminate()
        process.wait(10)
