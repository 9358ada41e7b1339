"""The recorder of a worker: one call at the beginning and one at the end of each exchange."""

import json
import logging
import time
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.hooks.plugin import PolicyInfo
from gateway.http.headers import Headers
from gateway.http.message import Request, Response
from gateway.model.exchange import Exchange
from gateway.model.observe import Observe
from gateway.model.pool import Member
from gateway.model.route import Route
from gateway.model.snapshot import Snapshot
from gateway.observe.metrics import render
from gateway.observe.recorder import Recorder
from gateway.observe.trace import Timing, Trace
from gateway.observe.trace_header import sign
from gateway.shared.arena import Arena


@pytest.fixture
def arena():
    arena = Arena(1 << 26)
    yield arena
    arena.close()


@pytest.fixture
def recorder(arena):
    return Recorder(arena, 0)


def exchange_on(route: str | None, method: str = "GET", status: int | None = 200, plan: object = "new", **fields: object) -> Exchange:
    exchange = Exchange(Request(method, "/"), "127.0.0.1", 100.0)
    exchange.listener = "web"
    exchange.route = Route(name=route) if route else None
    exchange.plan = SimpleNamespace(route=exchange.route, series=None) if plan == "new" else plan
    exchange.response = Response(status) if status else None
    exchange.finished = 100.02
    for name, value in fields.items():
        setattr(exchange, name, value)
    return exchange


def forwarded(attempts: list[str], first_byte: float = 100.0184) -> Exchange:
    return exchange_on(
        "users",
        pool="pool",
        attempts=attempts,
        member=Member(address=attempts[-1]),
        upstream_started=100.0004,
        upstream_first_byte=first_byte,
    )


def samples(arena: Arena) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(render(arena)):
        for sample in family.samples:
            found[(sample.name.removeprefix("gateway_"), *sample.labels.values())] = sample.value
    return found


def configured(recorder: Recorder, **observe: object) -> Recorder:
    recorder.configure(Snapshot(observe=Observe.model_validate(observe)))
    return recorder


def test_counts_requests_by_listener_route_method_and_status(arena, recorder):
    plan = SimpleNamespace(route=Route(name="users"), series=None)
    for method, status in (("GET", 200), ("GET", 200), ("POST", 201), ("GET", 404)):
        recorder.finished(exchange_on("users", method, status, plan))
    recorder.finished(exchange_on("other"))
    found = samples(arena)
    assert found["requests_total", "web", "users", "GET", "200"] == 2
    assert found["requests_total", "web", "users", "POST", "201"] == 1
    assert found["requests_total", "web", "users", "GET", "404"] == 1
    assert found["requests_total", "web", "other", "GET", "200"] == 1


def test_exchanges_without_route_response_or_plan_are_counted_too(arena, recorder):
    recorder.finished(exchange_on(None, status=404, code="no_route"))
    recorder.finished(exchange_on(None, status=None, plan=None, code="client_gone"))
    found = samples(arena)
    assert found["requests_total", "web", "(none)", "GET", "404"] == 1
    assert found["requests_total", "web", "(none)", "GET", "499"] == 1
    assert found["errors_total", "(none)", "no_route"] == found["errors_total", "(none)", "client_gone"] == 1


def test_methods_that_clients_invent_share_a_series(arena, recorder):
    plan = SimpleNamespace(route=None, series=None)
    for number in range(100):
        recorder.finished(exchange_on(None, f"M{number}", 405, plan))
    assert samples(arena)["requests_total", "web", "(none)", "(other)", "405"] == 100
    assert not recorder._unrouted.requests


def test_splits_the_time_of_an_exchange(arena, recorder):
    recorder.finished(forwarded(["127.0.0.1:1"]))
    found = samples(arena)
    assert found["request_duration_seconds_sum", "users"] == pytest.approx(0.02)
    assert found["processing_duration_seconds_sum", "users"] == pytest.approx(0.0004)
    assert found["upstream_duration_seconds_sum", "users"] == pytest.approx(0.018)
    assert (found["request_duration_seconds_bucket", "users", "0.01"], found["request_duration_seconds_bucket", "users", "0.025"]) == (0, 1)
    assert (
        found["processing_duration_seconds_bucket", "users", "0.00025"],
        found["processing_duration_seconds_bucket", "users", "0.0005"],
    ) == (0, 1)


def test_an_exchange_that_needed_no_backend_is_all_the_gateways_own(arena, recorder):
    recorder.finished(exchange_on("users"))
    found = samples(arena)
    assert found["processing_duration_seconds_sum", "users"] == pytest.approx(0.02)
    assert found["upstream_duration_seconds_count", "users"] == 0


def test_a_backend_that_never_answered_has_no_upstream_time(arena, recorder):
    recorder.finished(forwarded(["127.0.0.1:1"], first_byte=0.0))
    assert samples(arena)["upstream_duration_seconds_count", "users"] == 0


def test_counts_octets_both_ways(arena, recorder):
    recorder.finished(exchange_on("users", bytes_in=10, bytes_out=2000))
    found = samples(arena)
    assert (found["request_bytes_total", "users"], found["response_bytes_total", "users"]) == (10, 2000)


def test_counts_members_and_retries(arena, recorder):
    recorder.finished(forwarded(["127.0.0.1:1"]))
    recorder.finished(forwarded(["127.0.0.1:1", "127.0.0.1:2"]))
    recorder.connected("pool")
    found = samples(arena)
    assert found["member_requests_total", "pool", "127.0.0.1:1"] == 2
    assert found["member_requests_total", "pool", "127.0.0.1:2"] == 1
    assert found["retries_total", "pool"] == 1
    assert found["upstream_connections_total", "pool"] == 1


def test_counts_refusals_shadow_refusals_and_plugin_errors_by_policy(arena, recorder):
    policy = PolicyInfo("rate_limit", "burst", "route", "users", enforce=False)
    recorder.refused(policy)
    recorder.refused(None)
    recorder.shadow_refused(policy)
    recorder.plugin_failed(policy, "limit")
    recorder.plugin_failed(None, "authenticate")
    found = samples(arena)
    assert found["refusals_total", "rate_limit", "route/users/burst"] == 1
    assert found["shadow_refusals_total", "rate_limit", "route/users/burst"] == 1
    assert found["plugin_errors_total", "rate_limit", "route/users/burst", "limit"] == 1
    assert found["plugin_errors_total", "core", "core", "authenticate"] == 1


def test_counts_go_on_in_the_successor_of_a_worker(arena, recorder):
    recorder.finished(forwarded(["127.0.0.1:1"]))
    Recorder(arena, 0).finished(forwarded(["127.0.0.1:1"]))
    Recorder(arena, 1).finished(forwarded(["127.0.0.1:1"]))
    assert samples(arena)["request_duration_seconds_count", "users"] == 3


def test_an_exchange_gets_an_id_and_a_trace_context(recorder):
    exchange = exchange_on("users")
    recorder.identify(exchange, False)
    assert len(exchange.id) == 32
    assert exchange.traceparent.startswith("00-")
    assert exchange.trace is None or isinstance(exchange.trace, Timing)


# -- access log -----------------------------------------------------------------------------------------------------------------------


def test_there_is_no_access_log_unless_somebody_wants_one(arena, tmp_path, capfd):
    recorder = Recorder(arena, 0)
    recorder.finished(exchange_on("users"))
    recorder.close()
    assert capfd.readouterr().out == ""


def test_lines_go_where_the_command_said_unless_the_configuration_says_otherwise(arena, tmp_path):
    recorder = Recorder(arena, 0, str(tmp_path / "a"))
    recorder.finished(exchange_on("one"))
    configured(recorder, access_log={"path": str(tmp_path / "b"), "fields": ["route"]})
    recorder.finished(exchange_on("two"))
    configured(recorder, access_log={"enabled": False})
    recorder.finished(exchange_on("three"))
    configured(recorder)
    recorder.finished(exchange_on("four"))
    recorder.close()
    assert [json.loads(line)["route"] for line in (tmp_path / "a").read_text().splitlines()] == ["one", "four"]
    assert (tmp_path / "b").read_text() == '{"route":"two"}\n'


def test_lines_are_written_in_the_background(arena, tmp_path):
    import gevent

    recorder = Recorder(arena, 0, str(tmp_path / "log"))
    recorder.start()
    recorder.finished(exchange_on("users"))
    until = time.monotonic() + 5
    while not (tmp_path / "log").exists() and time.monotonic() < until:
        gevent.sleep(0.02)
    assert json.loads((tmp_path / "log").read_text())["route"] == "users"
    recorder.close()


def test_follows_a_rotation(arena, tmp_path):
    recorder = Recorder(arena, 0, str(tmp_path / "log"))
    recorder.finished(exchange_on("one"))
    recorder.reopen()
    (tmp_path / "log").rename(tmp_path / "log.1")
    recorder.finished(exchange_on("two"))
    recorder.close()
    assert "one" in (tmp_path / "log.1").read_text()
    assert "two" in (tmp_path / "log").read_text()


def test_dropped_lines_are_counted(arena, tmp_path):
    recorder = configured(Recorder(arena, 0, str(tmp_path / "no" / "log")), access_log={"max_waiting": 100})
    for _ in range(300):
        recorder.finished(exchange_on("users"))
    recorder.flush()
    assert samples(arena)["access_log_dropped_total",] == 200


# -- traces ---------------------------------------------------------------------------------------------------------------------------


def asking(value: str) -> Exchange:
    exchange = exchange_on("users")
    exchange.request.headers = Headers.of([("X-Gateway-Trace", value)])
    return exchange


def test_an_operator_with_the_key_gets_an_exchange_explained(arena):
    published: list[dict] = []
    recorder = configured(Recorder(arena, 0, publish=published.append), tracing={"secret": "s"}, metrics={"time_plugins_one_in": 0})
    exchange = asking(sign("s", time.time() + 60))
    recorder.identify(exchange, False)
    assert isinstance(exchange.trace, Trace)
    recorder.finished(exchange)
    assert (published[0]["id"], published[0]["why"], published[0]["route"]) == (exchange.id, "asked", "users")


@pytest.mark.parametrize(
    ("secret", "value"),
    [("s", "nonsense"), ("s", sign("other", time.time() + 60)), (None, sign("", time.time() + 60))],
    ids=["nonsense", "another key", "no key"],
)
def test_nobody_else_does_and_the_header_never_reaches_a_backend(arena, secret, value):
    recorder = configured(Recorder(arena, 0), tracing={"secret": secret}, metrics={"time_plugins_one_in": 0})
    exchange = asking(value)
    recorder.identify(exchange, False)
    assert exchange.trace is None
    assert "X-Gateway-Trace" not in exchange.request.headers


def test_the_key_may_be_a_reference(arena, monkeypatch, caplog):
    monkeypatch.setenv("TRACE_KEY", "s")
    recorder = configured(Recorder(arena, 0), tracing={"secret": "$env:TRACE_KEY"})
    exchange = asking(sign("s", time.time() + 60))
    recorder.identify(exchange, False)
    assert isinstance(exchange.trace, Trace)
    with caplog.at_level(logging.ERROR):
        configured(recorder, tracing={"secret": "$env:NO_SUCH_KEY"})
    assert "NO_SUCH_KEY" in caplog.text
    exchange = asking(sign("$env:NO_SUCH_KEY", time.time() + 60))
    recorder.identify(exchange, False)
    assert not isinstance(exchange.trace, Trace)


@pytest.mark.parametrize(
    ("traced_in", "timed_in", "traces", "timings"),
    [
        (0, 0, (0, 0), (0, 0)),
        (1, 0, (4000, 4000), (0, 0)),
        (0, 10, (0, 0), (300, 500)),
        (100, 10, (15, 70), (260, 460)),
        (10, 100, (300, 500), (0, 0)),
    ],
)
def test_samples_one_exchange_in_so_many(arena, traced_in, timed_in, traces, timings):
    recorder = configured(Recorder(arena, 0), tracing={"one_in": traced_in}, metrics={"time_plugins_one_in": timed_in})
    seen = []
    for _ in range(4000):
        exchange = exchange_on("users")
        recorder.identify(exchange, False)
        seen.append(type(exchange.trace))
    assert traces[0] <= seen.count(Trace) <= traces[1]
    assert timings[0] <= seen.count(Timing) <= timings[1]


def test_sampled_times_of_plugins_are_metrics(arena, recorder):
    recorder.timed("headers", "transform_request", 0.000003)
    recorder.timed("headers", "transform_request", 0.003)
    found = samples(arena)
    assert found["plugin_duration_seconds_count", "headers", "transform_request"] == 2
    assert found["plugin_duration_seconds_bucket", "headers", "transform_request", "5e-06"] == 1
    assert found["plugin_duration_seconds_sum", "headers", "transform_request"] == pytest.approx(0.003003)
