"""Compositions with a stand-in for the backends: order, deadlines, failures, what is asked of each part."""

from types import SimpleNamespace

import pytest

from gateway.api import PartResult, Reject
from gateway.http.errors import GatewayError
from gateway.http.message import Response
from gateway.model.route import Composition
from gateway.net import Event, monotonic
from gateway.proxy.composition import compose
from tests.proxy.routes import request

PARTS = [{"name": "user", "pool": "users"}, {"name": "orders", "pool": "orders", "required": False}]


class Backends:
    """Answers parts by name: with an Answer, by raising, or never. Writes down what was asked."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = {}
        self.given_up = Event()

    def __call__(self, exchange, part, request, deadline):
        self.asked[part.name] = request, deadline
        answer = self.answers.get(part.name, b'{"ok":true}')
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Event):
            try:
                answer.wait()
            except BaseException:
                self.given_up.set()
                raise
            answer = b'"late"'
        if isinstance(answer, int):
            return Response(answer, [("Content-Type", "application/json")]), b'{"status":"bad"}'
        return Response(200, [("Content-Type", "application/json")]), answer


class Body:
    """The client's content, in chunks."""

    length, trailers = None, None

    def __init__(self, *chunks):
        self.chunks = list(chunks)
        self.closed = False

    def read(self):
        return self.chunks.pop(0) if self.chunks else b""

    def close(self):
        self.closed = True


def composed(backends, exchange=None, parts=PARTS, aggregate=(), paths=("/",), **settings):
    plan = SimpleNamespace(
        target=SimpleNamespace(composition=Composition.model_validate({"parts": parts, **settings})),
        route=SimpleNamespace(match=SimpleNamespace(paths=tuple(paths))),
        aggregate=aggregate,
    )

    def first(exchange, plan, hook, steps, *arguments):
        assert hook == "aggregate"
        return next((answer for step in steps if (answer := step(exchange, *arguments)) is not None), None)

    return compose(exchange or request("http://a.test/x?q=1"), plan, first, backends)


def refused(*arguments, **settings):
    with pytest.raises(GatewayError) as error:
        composed(*arguments, **settings)
    return error.value.status, error.value.code


def test_parts_run_at_once_and_come_back_in_order():
    second = Event()

    class Waiting(Backends):
        def __call__(self, exchange, part, *arguments):
            if part.name == "orders":
                second.set()
            else:
                assert second.wait(5)  # the first part ends only after the second has begun
            return super().__call__(exchange, part, *arguments)

    response = composed(Waiting(user=b"1", orders=b"2"))
    assert response.body == b'{"user":1,"orders":2}'
    assert "X-Gateway-Partial" not in response.headers


def test_an_optional_part_that_fails_is_left_out_and_named():
    for answer in (500, 404, 302, GatewayError("", status=502, code="connect_failure"), RuntimeError("a fault")):
        exchange = request("http://a.test/x")
        response = composed(Backends(orders=answer), exchange)
        assert response.status == 200
        assert response.body == b'{"user":{"ok":true}}'
        assert response.headers.get("X-Gateway-Partial") == "orders"
        assert response.headers.get("Cache-Control") == "no-store"
        assert exchange.code == "partial"


def test_a_slow_optional_part_is_cut_off_at_its_deadline():
    backends = Backends(orders=Event())
    response = composed(backends, parts=[PARTS[0], {**PARTS[1], "timeout_s": 0.05}])
    assert response.body == b'{"user":{"ok":true}}'
    assert response.headers.get("X-Gateway-Partial") == "orders"
    assert backends.given_up.wait(5)


def test_a_required_part_that_fails_ends_the_whole_at_once():
    backends = Backends(user=500, orders=Event())
    assert refused(backends) == (502, "part_failed")
    assert backends.given_up.wait(5)


def test_a_required_part_that_is_late_is_504():
    assert refused(Backends(user=Event()), timeout_s=0.05) == (504, "part_timeout")
    assert refused(Backends(user=GatewayError("", status=504, code="first_byte_timeout"))) == (504, "part_timeout")


def test_without_any_answer_the_whole_fails():
    parts = [{**PARTS[0], "required": False}, PARTS[1]]
    assert refused(Backends(user=500, orders=500), parts=parts) == (502, "part_failed")


def test_a_part_that_is_too_large_has_failed():
    response = composed(Backends(orders=b'"' + b"x" * 100 + b'"'), max_part_bytes=50)
    assert response.headers.get("X-Gateway-Partial") == "orders"


def test_a_part_has_85_percent_of_the_time_unless_it_says_otherwise():
    backends = Backends()
    before = monotonic()
    composed(backends, parts=[PARTS[0], {**PARTS[1], "timeout_s": 3}, {"name": "long", "pool": "p", "timeout_s": 60}], timeout_s=20)
    after = monotonic()
    for name, seconds in (("user", 17), ("orders", 3), ("long", 20)):
        assert before + seconds <= backends.asked[name][1] <= after + seconds


def test_no_part_outlives_the_exchange():
    exchange = request("http://a.test/x")
    exchange.deadline = monotonic() + 1
    backends = Backends()
    composed(backends, exchange)
    assert {deadline for _, deadline in backends.asked.values()} == {exchange.deadline}


def test_aggregate_hooks_see_every_part_and_their_answer_is_taken():
    seen = []

    def silent(exchange, parts):
        seen.extend(parts)

    def answer(exchange, parts):
        return Response(201, [("X-Gateway-Partial", "user, orders")], b"mine")

    response = composed(Backends(orders=503), aggregate=(silent, answer))
    assert (response.status, response.body, response.headers.get("X-Gateway-Partial")) == (201, b"mine", "orders, user")
    assert all(isinstance(part, PartResult) for part in seen)
    assert [(part.name, part.required, part.status, part.content, part.error) for part in seen] == [
        ("user", True, 200, b'{"ok":true}', ""),
        ("orders", False, 503, b'{"status":"bad"}', "status_503"),
    ]


def test_a_refusal_by_an_aggregate_hook_becomes_an_error():
    refusal = Reject(406, "not_acceptable", headers=[("Vary", "Accept")])
    with pytest.raises(GatewayError) as error:
        composed(Backends(), aggregate=(lambda exchange, parts: refusal,))
    assert (error.value.status, error.value.code, error.value.headers.get("Vary")) == (406, "not_acceptable", "Accept")
    refusal.body = b"sorry"
    assert composed(Backends(), aggregate=(lambda exchange, parts: refusal,)) is refusal


def test_parts_are_asked_where_their_path_says():
    parts = [
        {"name": "same", "pool": "p"},
        {"name": "path", "pool": "p", "path": "/people/{id}/{version}"},
        {"name": "query", "pool": "p", "path": "/search?for={id}&in={path}"},
        {"name": "none", "pool": "p", "path": "/all?"},
    ]
    exchange = request("http://a.test/users/a%2Fb?q=1")
    exchange.captures, exchange.version = {"id": "a/b"}, "v1"
    backends = Backends()
    composed(backends, exchange, parts, paths=["/users/{id}"])
    assert {name: (request.path, request.query) for name, (request, _) in backends.asked.items()} == {
        "same": ("/users/a%2Fb", "q=1"),
        "path": ("/people/a%2Fb/v1", "q=1"),
        "query": ("/search", "for=a%2Fb&in=/users/a/b"),
        "none": ("/all", ""),
    }


def test_parts_get_the_clients_headers_but_nothing_about_its_content_and_cache():
    sent = [("X-A", "1"), ("x-a", "2"), ("Accept-Encoding", "br"), ("If-None-Match", '"x"'), ("Range", "bytes=0-1"), ("Digest", "y")]
    exchange = request("http://a.test/x", headers=sent)
    backends = Backends()
    composed(backends, exchange)
    asked = backends.asked["user"][0].headers
    assert list(asked) == [("X-A", "1"), ("x-a", "2"), ("Host", "a.test"), ("Accept-Encoding", "identity")]
    assert len(exchange.request.headers) == 7  # the client's own stay as they were
    assert asked is not backends.asked["orders"][0].headers


def test_content_goes_to_parts_whose_method_carries_it():
    parts = [{"name": "write", "pool": "p", "method": "POST"}, {"name": "read", "pool": "p"}, {"name": "put", "pool": "p", "method": "PUT"}]
    exchange = request("http://a.test/x", "POST", headers=[("Content-Type", "a/b"), ("Content-Length", "99")])
    exchange.request.body = body = Body(b"one ", b"two")
    backends = Backends()
    composed(backends, exchange, parts)
    asked = {name: (request.method, request.body, request.headers.get("Content-Type")) for name, (request, _) in backends.asked.items()}
    assert asked == {"write": ("POST", b"one two", "a/b"), "read": ("GET", None, None), "put": ("PUT", b"one two", "a/b")}
    assert body.closed


def test_content_that_no_part_wants_is_not_read():
    exchange = request("http://a.test/x", "POST")
    exchange.request.body = body = Body(b"one")
    composed(Backends(), exchange)
    assert body.chunks == [b"one"]


def test_content_above_the_limit_is_413():
    exchange = request("http://a.test/x", "POST")
    exchange.request.body = body = Body(*[b"x" * 10] * 10)
    parts = [{"name": "write", "pool": "p", "method": "POST"}]
    assert refused(Backends(), exchange, parts, max_part_bytes=15) == (413, "content_too_large")
    assert len(body.chunks) == 8  # it was read no further than needed
    assert body.closed


def test_a_composition_is_no_tunnel():
    exchange = request("a.test:443", "CONNECT")
    exchange.upgrade = "connect"
    assert refused(Backends(), exchange) == (405, "connect_refused")
    exchange = request("http://a.test/x")
    exchange.upgrade = "websocket"
    assert composed(Backends(), exchange).status == 200
    assert exchange.upgrade == ""


def test_the_star_of_options_asks_parts_for_the_root():
    backends = Backends()
    composed(backends, request("*", "OPTIONS"))
    assert backends.asked["user"][0].path == "/"
