"""Traces: one exchange explained hook by hook, with nothing secret in the explanation."""

import time

import orjson
import pytest

from gateway.api import Reject, Response
from gateway.hooks.plugin import PolicyInfo
from gateway.http.headers import Headers
from gateway.http.message import Request
from gateway.model.consumer import Consumer
from gateway.model.exchange import Exchange
from gateway.model.pool import Member
from gateway.model.route import Route
from gateway.observe.trace import Timing, Trace

POLICY = PolicyInfo("headers", "add", "route", "users")


class Stream:
    """A body whose content must not be touched by a trace."""

    length = 1000
    trailers = None


@pytest.fixture
def exchange():
    headers = Headers.of([("Accept", "text/html"), ("X-API-Key", "s3cret-key"), ("Cookie", "sid=s3cret-cookie")])
    request = Request("GET", "/users/1", query="page=2&api_key=s3cret-query", host="api.example.com", headers=headers)
    exchange = Exchange(request, "192.0.2.1", time.monotonic())
    exchange.id = "the-id"
    return exchange


def trace_of(exchange, masked=frozenset(), timed=lambda *_: None):
    return Trace(exchange, "asked", masked, timed)


def step(trace, exchange, change=lambda: None, hook="transform_request", verdict=None, owner=POLICY):
    before = trace.picture(exchange)
    change()
    trace.hook(hook, owner, verdict, 0.0000123, before, trace.picture(exchange))


def test_tells_who_answered_what_and_how_long_it_took(exchange):
    trace = trace_of(exchange)
    step(trace, exchange, hook="limit", verdict=Reject(429, "rate_limited", "100 a minute"))
    assert trace.finish(exchange)["hooks"] == [
        {
            "hook": "limit", "us": 12.3, "plugin": "headers", "policy": "route/users/add", "enforced": True,
            "verdict": {"refused": 429, "code": "rate_limited", "detail": "100 a minute"},
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [
        (None, None),
        (Consumer("alice"), {"consumer": "alice"}),
        (Response(304), {"response": 304}),
        (ValueError("bad"), {"raised": "ValueError", "detail": "bad"}),
        (Member(address="127.0.0.1:1"), {"member": "127.0.0.1:1"}),
        (7, {"answer": "int"}),
    ],
)
def test_shows_each_kind_of_verdict_in_a_few_words(exchange, verdict, shown):
    trace = trace_of(exchange)
    step(trace, exchange, verdict=verdict, owner=None)
    (shown_step,) = trace.finish(exchange)["hooks"]
    assert shown_step["verdict"] == shown
    assert "plugin" not in shown_step  # the core's own


def test_shows_what_a_hook_changed_and_nothing_else(exchange):
    trace = trace_of(exchange)
    headers = exchange.request.headers

    def change():
        headers.set("Accept", "application/json")
        headers.add("X-New", "1")
        exchange.request.path = "/v2/users/1"
        exchange.request.body = b"12345"

    step(trace, exchange, change)
    step(trace, exchange)
    first, second = trace.finish(exchange)["hooks"]
    assert first["changes"] == {
        "path": ["/users/1", "/v2/users/1"],
        "headers": {"removed": [["Accept", "text/html"]], "added": [["Accept", "application/json"], ["X-New", "1"]]},
        "content": [None, {"octets": 5}],
    }
    assert "changes" not in second


def test_shows_what_a_hook_changed_of_the_response(exchange):
    trace = trace_of(exchange)
    exchange.response = Response(200, [("Server", "x")], Stream())  # type: ignore[arg-type]

    def change():
        exchange.response.status = 203
        exchange.response.headers.remove("Server")
        exchange.response.body = b"short"

    step(trace, exchange, change, hook="transform_response")
    assert trace.finish(exchange)["hooks"][0]["changes"] == {
        "status": [200, 203],
        "response_headers": {"removed": [["Server", "x"]], "added": []},
        "response_content": [{"stream": "Stream", "octets": 1000}, {"octets": 5}],
    }


def test_secrets_are_masked_wherever_they_are(exchange):
    trace = trace_of(exchange, masked=frozenset({b"x-mine"}))

    def change():
        for name in ("Authorization", "x-auth-token", "X-Mine", "Proxy-Authorization", "X-Amz-Security-Token"):
            exchange.request.headers.set(name, "s3cret")
        exchange.request.query = "Access_Token=s3cret&b=1"
        exchange.response = Response(200, [("Set-Cookie", "sid=s3cret")])

    step(trace, exchange, change)
    record = trace.finish(exchange)
    assert b"s3cret" not in orjson.dumps(record)
    assert ["X-API-Key", "(masked, 10 octets)"] in record["request"]["headers"]
    assert record["request"]["query"] == "page=2&api_key=(masked)"
    assert record["sent"]["query"] == "Access_Token=(masked)&b=1"


def test_keeps_candidates_attempts_and_notes(exchange):
    trace = trace_of(exchange)
    trace.candidates([(Member(address=f"127.0.0.1:{port}"), {"score": port / 2, "in_flight": 3}) for port in (1, 2)])
    trace.attempt("127.0.0.1:1", "connect_failure", 0.001)
    trace.attempt("127.0.0.1:2", "200", 0.002)
    trace.note("routing", {"lost": ["other"]})
    exchange.notes["merge.missing"] = ("a",)
    record = trace.finish(exchange)
    assert record["candidates"][1] == {"address": "127.0.0.1:2", "score": 1.0, "in_flight": 3}
    assert record["attempts"] == [
        {"address": "127.0.0.1:1", "outcome": "connect_failure", "us": 1000.0},
        {"address": "127.0.0.1:2", "outcome": "200", "us": 2000.0},
    ]
    assert record["notes"] == {"routing": {"lost": ["other"]}, "merge.missing": "('a',)"}


def test_tells_the_whole_story_as_json(exchange):
    trace = trace_of(exchange)
    exchange.route, exchange.consumer, exchange.member = (
        Route(name="users"),
        Consumer("alice", frozenset({"b", "a"})),
        Member(address="127.0.0.1:1"),
    )
    exchange.pool, exchange.credential, exchange.captures = "users-pool", "laptop", {"id": "1"}
    exchange.response = Response(200)
    exchange.upstream_started, exchange.upstream_first_byte = exchange.started + 0.001, exchange.started + 0.003
    exchange.finished = exchange.started + 0.004
    record = orjson.loads(orjson.dumps(trace.finish(exchange)))
    assert (record["id"], record["why"], record["method"], record["path"], record["status"]) == ("the-id", "asked", "GET", "/users/1", 200)
    assert (record["route"], record["consumer"], record["groups"], record["pool"]) == ("users", "alice", ["a", "b"], "users-pool")
    assert (record["member"], record["credential"], record["captures"]) == ("127.0.0.1:1", "laptop", {"id": "1"})
    assert (record["gateway_us"], record["upstream_us"], record["total_us"]) == (1000, 2000, 4000)
    assert abs(record["time"] - time.time()) < 2


def test_an_exchange_that_got_nowhere_can_be_told(exchange):
    exchange.finished = exchange.started
    record = trace_of(exchange).finish(exchange)
    assert (record["status"], record["response"], record["route"], record["upstream_us"]) == (499, None, "", 0)


def test_a_record_has_bounds(exchange):
    trace = trace_of(exchange)
    for _ in range(600):
        step(trace, exchange)
    trace.candidates([(Member(address="127.0.0.1:1"), {})] * 300)
    exchange.request.headers.set("X-Long", "x" * 5000)
    record = trace.finish(exchange)
    assert (len(record["hooks"]), len(record["candidates"])) == (500, 100)
    assert len(record["sent"]["headers"][-1][1]) == 1000


@pytest.mark.parametrize("kind", ["trace", "timing"])
def test_the_time_of_plugins_is_measured_either_way(exchange, kind):
    seen = []
    timed = lambda *facts: seen.append(facts)
    record = trace_of(exchange, timed=timed) if kind == "trace" else Timing(timed)
    step(record, exchange, hook="limit")
    step(record, exchange, owner=None)
    record.candidates([])
    record.attempt("127.0.0.1:1", "200", 0.1)
    record.note("a", 1)
    assert seen == [("headers", "limit", 0.0000123)]
    assert (record.finish(exchange) is None) == (kind == "timing")
