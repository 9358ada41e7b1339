"""The author's kit: echo, plain calls, and what a plugin's own tests look like with them."""

import http.client
import os
import socket
import threading

import pytest
from pydantic import ValidationError

from gateway.api import Consumer, Plugin, Reject, Response, hookimpl
from gateway.hooks.manager import PluginError
from gateway.testing import Answer, Echo, LoneWorker, NotRunning, Refused, make_exchange, make_plugin, make_snapshot


class Quota(Plugin):
    """Count in a shared table."""

    name = "quota"

    class Config(Plugin.Config):
        most: int = 1

    @hookimpl
    def start(self, worker):
        self.table = worker.table("quota", 1)

    @hookimpl
    def limit(self, exchange):
        row = self.table.acquire(exchange.client, exchange.started, 60)
        self.table.values[row] += 1
        count = self.table.values[row]
        self.table.release()
        return Reject(429, "too_many") if count > self.config.most else None


def send(echo: Echo, method: str, target: str, content=None, headers=()):
    connection = http.client.HTTPConnection(echo.address, timeout=5)
    try:
        connection.request(method, target, content, dict(headers), encode_chunked="Transfer-Encoding" in dict(headers))
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()


class TestEcho:
    def test_writes_down_requests_and_describes_them(self, echo):
        status, _, content = send(echo, "PATCH", "/a/b?c=d", b"hello", {"X-Thing": "1"})
        assert status == 200
        assert b'"PATCH"' in content
        assert (echo.last.method, echo.last.path, echo.last.query, echo.last.content) == ("PATCH", "/a/b", "c=d", b"hello")
        assert echo.last.headers.get("x-thing") == "1"

    def test_answers_as_it_is_told(self, echo):
        echo.answer = lambda request: Answer(418, [("X-Tea", "yes"), ("X-Tea", "please")], b"teapot")
        status, headers, content = send(echo, "GET", "/")
        assert (status, content) == (418, b"teapot")
        assert [value for name, value in headers if name == "X-Tea"] == ["yes", "please"]

    @pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
    def test_sends_no_content_where_there_is_none(self, echo, method, status):
        echo.answer = lambda request: Answer(status, content=b"none of it")
        assert send(echo, method, "/")[2] == b""

    def test_reads_chunked_content(self, echo):
        send(echo, "POST", "/", iter([b"one ", b"two"]), {"Transfer-Encoding": "chunked"})
        assert echo.last.content == b"one two"

    def test_waits_for_requests(self, echo):
        threading.Timer(0.01, send, (echo, "GET", "/late")).start()
        assert echo.wait(1)[0].path == "/late"
        with pytest.raises(TimeoutError):
            echo.wait(2, timeout_s=0.01)

    def test_several_backends_are_several_addresses(self, start_echo):
        one, two = start_echo(), start_echo()
        send(two, "GET", "/")
        assert (len(one.requests), len(two.requests)) == (0, 1)

    def test_closing_ends_idle_connections(self, echo):
        host, port = echo.address.split(":")
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            echo.close()
            assert client.recv(65536) == b""


class TestPlainCalls:
    def test_a_plugin_is_made_as_in_a_gateway(self):
        quota = make_plugin(Quota, {"most": 1})
        exchange = make_exchange("GET", "/a?b=c", {"X-A": "1"}, client="192.0.2.9")
        assert quota.limit(exchange) is None
        assert quota.limit(exchange).status == 429
        assert quota.policy.id == "gateway/quota"

    def test_workers_of_one_arena_share_tables(self):
        worker = LoneWorker()
        one, two = (make_plugin(Quota, {"most": 1}, worker=worker) for _ in range(2))
        assert one.limit(make_exchange()) is None
        assert two.limit(make_exchange()).status == 429

    def test_settings_are_checked(self):
        with pytest.raises(ValidationError):
            make_plugin(Quota, {"least": 1})

    def test_the_class_is_checked(self):
        class Misspelt(Plugin):
            name = "misspelt"

            @hookimpl
            def limitt(self, exchange):
                pass

        with pytest.raises(PluginError, match="did you mean 'limit'"):
            make_plugin(Misspelt)

    def test_references_are_resolved(self, monkeypatch):
        monkeypatch.setenv("MOST", "5")
        assert make_plugin(Quota, {"most": "$env:MOST"}).config.most == 5

    def test_an_exchange_has_what_hooks_look_at(self):
        alice, response = Consumer("alice"), Response(200)
        exchange = make_exchange("PUT", "/p?q", [("X", "1"), ("X", "2")], b"abc", consumer=alice, captures={"id": "7"}, response=response)
        request = exchange.request
        assert (request.method, request.path, request.query, request.headers.get("x")) == ("PUT", "/p", "q", "1, 2")
        assert (request.body, request.content_length) == (b"abc", 3)
        assert (exchange.consumer, exchange.captures, exchange.response, exchange.id != "") == (alice, {"id": "7"}, response, True)

    def test_a_snapshot_is_compiled_from_configuration(self):
        snapshot = make_snapshot({"routes": [], "consumers": [{"name": "alice", "groups": ["gold"]}]}, Quota)
        assert snapshot.consumers["alice"].groups == frozenset({"gold"})


class TestGateway:
    def test_sends_everything_to_echo_unless_told_otherwise(self, run_gateway, echo):
        gateway = run_gateway()
        reply = gateway.post("/a?b=c", b"hello", {"X-A": "1"})
        assert (reply.status, reply.json()["content"]) == (200, "hello")
        assert (echo.last.method, echo.last.target, echo.last.headers.get("x-a")) == ("POST", "/a?b=c", "1")

    def test_a_change_is_live_when_the_call_returns(self, run_gateway, start_echo):
        gateway = run_gateway(workers=2)
        second = start_echo()
        gateway.change(pools=[{"name": "echo", "members": [{"address": second.address}]}])
        for _ in range(10):
            assert gateway.get("/").status == 200
        assert len(second.requests) == 10

    def test_says_why_a_change_is_refused_and_serves_on(self, run_gateway):
        gateway = run_gateway()
        with pytest.raises(Refused, match="colour"):
            gateway.change(colour="red")
        assert gateway.get("/").status == 200

    def test_says_why_a_gateway_does_not_start(self, run_gateway):
        with pytest.raises(NotRunning, match="colour"):
            run_gateway(colour="red")

    def test_nothing_is_left_when_it_stops(self, run_gateway):
        gateway = run_gateway()
        assert gateway.stop() == 0
        with pytest.raises(OSError):
            gateway.get("/")
        assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and session_of(int(pid)) == gateway.process.pid]


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
