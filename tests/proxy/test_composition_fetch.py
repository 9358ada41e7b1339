"""Parts fetched from real backends through real pools, in this process."""

import threading
from types import SimpleNamespace

import pytest

from gateway.http.errors import GatewayError
from gateway.model.pool import Pool
from gateway.model.route import Composition
from gateway.net import Event, monotonic
from gateway.proxy.balancers import balancer_builder
from gateway.proxy.balancing import PoolRuntime
from gateway.proxy.composition import compose
from gateway.proxy.forwarded import direct
from gateway.proxy.upstream import Upstream
from gateway.testing import Answer
from tests.proxy.pools import BUILTIN
from tests.proxy.routes import request

MADE = []


def upstream(name, *addresses, kind=Upstream, **settings):
    pool = Pool.model_validate({"name": name, "members": [{"address": address} for address in addresses], **settings})
    MADE.append(kind(pool, PoolRuntime(pool, balancer_builder(BUILTIN), Event), None, lambda name: None))
    return MADE[-1]


@pytest.fixture(autouse=True)
def no_connection_is_left():
    yield
    while MADE:
        MADE.pop().runtime.close()


def composed(upstreams, parts, exchange=None, **settings):
    exchange = exchange or request("http://a.test/x?q=1")
    exchange.forwarded = direct("192.0.2.1", "http")
    exchange.plan = SimpleNamespace(
        target=SimpleNamespace(
            name="it",
            composition=Composition.model_validate({"parts": parts, **settings}),
            upstreams={made.name: made for made in upstreams},
            waits=None,
            retries=None,
        ),
        route=None,
        aggregate=(),
        select_backend=(),
    )
    return compose(exchange, exchange.plan, None)


def test_fetches_parts_from_their_pools(start_echo):
    users, orders = start_echo(), start_echo()
    users.answer = lambda received: Answer(200, [("Content-Type", "text/plain")], b"Ada")
    orders.answer = lambda received: Answer(200, (), b"[1]")
    exchange = request("http://a.test/x?q=1", headers=[("X-A", "1")])
    parts = [{"name": "user", "pool": "users", "path": "/u"}, {"name": "orders", "pool": "orders"}]
    response = composed([upstream("users", users.address), upstream("orders", orders.address)], parts, exchange)
    assert response.body == b'{"user":"Ada","orders":[1]}'
    assert (users.last.target, orders.last.target) == ("/u?q=1", "/x?q=1")
    assert users.last.headers.get("X-A") == "1"
    assert sorted(exchange.attempts) == sorted([users.address, orders.address])
    assert exchange.upstream_started < exchange.upstream_first_byte


def test_content_reaches_the_parts_that_write(echo):
    exchange = request("http://a.test/x", "POST", headers=[("Content-Type", "text/plain")])
    exchange.request.body, exchange.request.content_length = b"hello", 5
    composed([upstream("p", echo.address)], [{"name": "a", "pool": "p", "method": "PUT"}], exchange)
    assert (echo.last.method, echo.last.content, echo.last.headers.get("Content-Length")) == ("PUT", b"hello", "5")


def test_a_pool_retries_a_part_on_another_member(echo, start_echo):
    gone = start_echo()
    gone.close()
    exchange = request("http://a.test/x")
    made = upstream("p", gone.address, echo.address, health={"passive": None})
    for _ in range(4):
        assert composed([made], [{"name": "a", "pool": "p"}], exchange).status == 200
    assert set(exchange.attempts) == {gone.address, echo.address}


def test_large_answers_stream_in_up_to_the_limit(echo):
    echo.answer = lambda received: Answer(200, (), b'"' + b"x" * 300_000 + b'"')
    made = upstream("p", echo.address)
    assert len(composed([made], [{"name": "a", "pool": "p"}]).body) == 300_002 + len('{"a":}')
    with pytest.raises(GatewayError) as error:
        composed([made], [{"name": "a", "pool": "p"}], max_part_bytes=200_000)
    assert (error.value.code, error.value.detail) == ("part_failed", "part a: too_large")
    assert all(endpoint.in_flight == 0 for endpoint in made.runtime.endpoints.values())


def test_a_pool_that_is_gone_fails_its_part(echo):
    parts = [{"name": "a", "pool": "p"}, {"name": "b", "pool": "gone", "required": False}]
    response = composed([upstream("p", echo.address)], parts)
    assert response.headers.get("X-Gateway-Partial") == "b"


def test_a_part_that_is_cut_off_gives_its_member_back(echo, start_echo):
    stuck = start_echo()
    let_go = threading.Event()
    stuck.answer = lambda received: (let_go.wait(10), Answer())[1]
    slow = upstream("slow", stuck.address)
    parts = [{"name": "a", "pool": "p"}, {"name": "b", "pool": "slow", "required": False, "timeout_s": 0.2}]
    try:
        response = composed([upstream("p", echo.address), slow], parts)
        assert response.headers.get("X-Gateway-Partial") == "b"
        composed([upstream("p", echo.address)], parts[:1])  # the loop turns: the cut-off greenlet has ended
        assert [endpoint.in_flight for endpoint in slow.runtime.endpoints.values()] == [0]
    finally:
        let_go.set()


def test_a_parts_deadline_takes_the_place_of_its_pools_total_time(echo):
    asked = []

    class Watched(Upstream):
        def fetch(self, exchange, endpoint, timeouts):
            asked.append(exchange.deadline)
            return super().fetch(exchange, endpoint, timeouts)

    made = upstream("p", echo.address, timeouts={"total_s": 3600}, kind=Watched)
    before = monotonic()
    composed([made], [{"name": "a", "pool": "p"}], timeout_s=10)
    assert before + 8.5 <= asked[0] <= monotonic() + 8.5
