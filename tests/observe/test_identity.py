"""Request ids and trace contexts: made cheaply, believed carefully."""

import os

import pytest

from gateway.http.headers import Headers
from gateway.http.message import Request
from gateway.model.exchange import Exchange
from gateway.model.observe import IdentitySettings
from gateway.observe.identity import Identity

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def identified(*headers: tuple[str, str], trusted: bool = False, **settings: object) -> Exchange:
    exchange = Exchange(Request("GET", "/", headers=Headers.of(headers)), "127.0.0.1", 0.0)
    Identity(IdentitySettings.model_validate(settings)).assign(exchange, trusted)
    return exchange


def test_begins_a_trace_whose_id_is_the_request_id():
    exchange = identified()
    version, trace, span, flags = exchange.traceparent.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert trace == exchange.id
    assert int(trace, 16) and int(span, 16)


def test_ids_do_not_repeat():
    identity = Identity(IdentitySettings())
    exchange = Exchange(Request("GET", "/"), "127.0.0.1", 0.0)
    seen = set()
    for _ in range(3000):
        identity.assign(exchange, False)
        seen.add(exchange.id)
        seen.add(exchange.traceparent.split("-")[2])
    assert len(seen) == 6000


def test_ids_of_forked_processes_differ():
    readable, writable = os.pipe()
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            os.write(writable, identified().id.encode())
            os._exit(0)
        os.waitpid(pid, 0)
    octets = os.read(readable, 100)
    assert octets[:32] != octets[32:]
    os.close(readable)
    os.close(writable)


def test_continues_a_trace_with_a_span_of_its_own():
    exchange = identified(("traceparent", f"00-{TRACE}-{SPAN}-01"), ("tracestate", "vendor=1"))
    version, trace, span, flags = exchange.traceparent.split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != SPAN
    assert exchange.id != TRACE  # two requests of one trace are two exchanges
    assert exchange.request.headers.get("tracestate") == "vendor=1"


@pytest.mark.parametrize(("flags", "passed"), [("00", "00"), ("01", "01"), ("03", "01"), ("fe", "00"), ("ff", "01")])
def test_passes_on_the_sampled_flag_and_no_unknown_one(flags, passed):
    assert identified(("traceparent", f"00-{TRACE}-{SPAN}-{flags}")).traceparent.endswith(f"-{passed}")


@pytest.mark.parametrize("value", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"])
def test_continues_traces_of_later_versions_as_version_0(value):
    assert identified(("traceparent", value)).traceparent.startswith(f"00-{TRACE}-")


@pytest.mark.parametrize(
    "value",
    [
        "", "00", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE[:-1]}-{SPAN}-01", f"00-{TRACE}-{SPAN}-0g",
        f" 00-{TRACE}-{SPAN}-01x",
        f"00_{TRACE}_{SPAN}_01", f"01-{TRACE}-{SPAN}-01.more",
    ],
)  # fmt: skip
def test_begins_anew_when_the_context_is_malformed_and_drops_its_state(value):
    exchange = identified(("traceparent", value), ("tracestate", "vendor=1"))
    assert exchange.traceparent.split("-")[1] == exchange.id
    assert "tracestate" not in exchange.request.headers


def test_begins_anew_when_two_contexts_came():
    exchange = identified(("traceparent", f"00-{TRACE}-{SPAN}-01"), ("traceparent", f"00-{TRACE}-{SPAN}-01"))
    assert TRACE not in exchange.traceparent


@pytest.mark.parametrize(
    ("trust", "trusted", "kept"),
    [("anyone", False, True), ("trusted", True, True), ("trusted", False, False), ("nobody", True, False)],
)
def test_keeps_what_clients_send_only_where_they_are_trusted(trust, trusted, kept):
    headers = (("X-Request-ID", "abc-1"), ("traceparent", f"00-{TRACE}-{SPAN}-01"))
    exchange = identified(*headers, trusted=trusted, request_id_from=trust, trace_from=trust)
    assert (exchange.id == "abc-1") == kept
    assert (TRACE in exchange.traceparent) == kept


@pytest.mark.parametrize("value", ["", 'a"b', "a b", "a\\b", "é", "x" * 129, "<script>", "a, b"])
def test_makes_an_id_of_its_own_when_the_given_one_is_unsafe_in_logs_and_headers(value):
    assert len(identified(("X-Request-ID", value), trusted=True).id) == 32


@pytest.mark.parametrize(("percent", "least", "most"), [(0, 0, 0), (10, 120, 290), (100, 2000, 2000)])
def test_marks_a_share_of_new_traces_as_sampled(percent, least, most):
    identity = Identity(IdentitySettings(sampled_percent=percent))
    exchange = Exchange(Request("GET", "/"), "127.0.0.1", 0.0)
    marked = 0
    for _ in range(2000):
        identity.assign(exchange, False)
        marked += exchange.traceparent.endswith("-01")
    assert least <= marked <= most
