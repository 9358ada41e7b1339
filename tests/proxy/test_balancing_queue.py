"""Exchanges that wait for a member with room."""

import gevent
import pytest

from gateway.http.errors import GatewayError
from gateway.net import ClientGone, Event
from tests.proxy.pools import Runtime, make_exchange


def runtime(*spec, **limits):
    return Runtime(*(spec or ("a:1",)), limits={"max_in_flight": 1, "queue_s": 30, **limits})


def start(pool, *tried, done=None, exchange=None):
    """Begin to choose in a greenlet that has reached its wait when this returns."""

    def choose():
        endpoint = pool.choose(exchange or make_exchange(pool.clock.now), tried)
        if done is not None:
            done.append(greenlet)
        return endpoint

    greenlet = gevent.spawn(choose)
    gevent.sleep(0)
    return greenlet


def settle():
    for _ in range(3):
        gevent.sleep(0)


def failure(greenlet):
    with pytest.raises(GatewayError) as caught:
        greenlet.get(timeout=5)
    return caught.value.code


def test_waits_for_room_and_is_served_in_order_of_arrival():
    pool, done = runtime(), []
    first = pool.take()
    waiters = [start(pool, done=done) for _ in range(3)]
    assert pool.report()["waiting"] == 3
    for count in (1, 2, 3):
        pool.release(first)
        assert first.in_flight == 1, "the slot goes from hand to hand, nobody can step in between"
        settle()
        assert done == waiters[:count]
    pool.release(first)
    assert first.in_flight == 0


def test_a_full_queue_answers_pool_full():
    pool = runtime(max_queue=1)
    endpoint = pool.take()
    waiter = start(pool)
    with pytest.raises(GatewayError) as caught:
        pool.take()
    assert (caught.value.status, caught.value.code) == (503, "pool_full")
    pool.release(endpoint)
    assert waiter.get(timeout=5) is endpoint


def test_a_queue_of_none_refuses_at_once():
    pool = runtime(max_queue=0)
    pool.take()
    assert failure(start(pool)) == "pool_full"


def test_a_wait_ends_with_queue_timeout():
    pool = runtime(queue_s=0.01)
    pool.take()
    assert failure(start(pool)) == "queue_timeout"
    assert pool.report()["waiting"] == 0


def test_a_wait_ends_with_the_deadline_of_the_exchange():
    pool = runtime()
    pool.take()
    exchange = make_exchange(pool.clock.now)
    exchange.deadline = pool.clock.now + 0.01
    assert failure(start(pool, exchange=exchange)) == "queue_timeout"
    exchange.deadline = pool.clock.now - 1
    assert failure(start(pool, exchange=exchange)) == "queue_timeout"


def test_a_client_that_goes_leaves_the_queue():
    pool = runtime()
    endpoint = pool.take()
    gone, next_one = start(pool), start(pool)
    gone.kill(ClientGone, block=False)
    settle()
    assert pool.report()["waiting"] == 1
    pool.release(endpoint)
    assert next_one.get(timeout=5) is endpoint


def test_a_client_that_goes_when_it_has_its_turn_passes_it_on():
    pool = runtime()
    endpoint = pool.take()
    gone, next_one = start(pool), start(pool)
    gone.kill(ClientGone, block=False)
    pool.release(endpoint)  # given to the first, which will wake only to be killed
    assert next_one.get(timeout=5) is endpoint
    pool.release(endpoint)
    assert endpoint.in_flight == 0


def test_a_waiter_is_not_given_a_member_it_has_tried():
    pool, done = runtime("a:1", "b:1"), []
    a, b = pool.take("b:1"), pool.take("a:1")
    retry, plain = start(pool, "b:1", done=done), start(pool, done=done)
    pool.release(b)
    settle()
    assert done == [plain]
    pool.release(a)
    assert retry.get(timeout=5) is a


def test_room_that_no_waiter_can_use_is_free_for_a_newcomer():
    pool = runtime("a:1", "b:1")
    a, b = pool.take("b:1"), pool.take("a:1")
    retry = start(pool, "b:1")
    pool.release(b)
    assert pool.take() is b
    pool.release(a)
    assert retry.get(timeout=5) is a


@pytest.mark.parametrize(
    "change",
    [
        lambda pool: pool.edit("a:1", "b:1", limits={"max_in_flight": 1}),
        lambda pool: pool.edit("a:1", limits={"max_in_flight": 2}),
        lambda pool: pool.edit("a:1"),
    ],
    ids=["a member comes", "the limit is raised", "the limit is gone"],
)
def test_a_change_that_brings_room_wakes_waiters(change):
    pool = runtime()
    pool.take()
    waiter = start(pool)
    change(pool)
    assert waiter.get(timeout=5).in_flight in (1, 2)
    assert pool.report()["waiting"] == 0


def test_a_member_that_comes_up_serves_waiters():
    pool = Runtime("a:1", "b:1", limits={"max_in_flight": 1}, health={"active": {}})
    pool.health("b:1", False, "down")
    pool.take()
    waiter = start(pool)
    pool.health("b:1", True, "up")
    assert waiter.get(timeout=5).address == "b:1"


def test_waiters_are_sent_away_when_nothing_is_left_to_wait_for():
    pool = Runtime("a:1", limits={"max_in_flight": 1}, health={"active": {}})
    pool.take()
    waiters = [start(pool), start(pool)]
    pool.health("a:1", False, "down")
    assert [failure(waiter) for waiter in waiters] == ["no_member"] * 2


def test_a_member_in_drain_gives_its_room_to_nobody():
    pool = runtime("a:1", "b:1")
    a, b = pool.take("b:1"), pool.take("a:1")
    waiter = start(pool)
    pool.edit(("a:1", {"state": "drain"}), "b:1", limits={"max_in_flight": 1})
    pool.release(a)
    settle()
    assert not waiter.ready()
    pool.release(b)
    assert waiter.get(timeout=5) is b


def test_a_selector_hears_of_an_exchange_that_has_waited():
    pool, seen = runtime(), []
    endpoint = pool.take()
    waiter = gevent.spawn(pool.take, selectors=(lambda exchange, candidates: seen.append(candidates),))
    gevent.sleep(0)
    pool.release(endpoint)
    assert waiter.get(timeout=5) is endpoint
    assert seen == [(endpoint,)]


def test_a_client_that_goes_while_a_selector_hears_of_its_turn_passes_it_on():
    pool, entered = runtime(), []
    endpoint = pool.take()

    def slow(exchange, candidates):
        entered.append(exchange)
        gevent.sleep(60)

    gone = gevent.spawn(pool.take, selectors=(slow,))
    gevent.sleep(0)
    next_one = start(pool)
    pool.release(endpoint)
    settle()
    assert (len(entered), next_one.ready()) == (1, False)
    gone.kill(ClientGone, block=False)
    assert next_one.get(timeout=5) is endpoint


def test_what_changes_while_a_selector_waits_is_heeded():
    pool, resume = runtime("a:1", "b:1"), Event()
    a = pool.endpoints["a:1"]

    def slow(exchange, candidates):
        resume.wait(5)
        return a

    choosing = gevent.spawn(pool.take, selectors=(slow,))
    gevent.sleep(0)
    pool.take("b:1")
    resume.set()
    assert choosing.get(timeout=5).address == "b:1"

    resume.clear()
    pool = runtime("a:1")
    a = pool.endpoints["a:1"]
    choosing = gevent.spawn(pool.take, selectors=(slow,))
    gevent.sleep(0)
    pool.take()
    resume.set()
    settle()
    assert pool.report()["waiting"] == 1
    pool.release(a)
    assert choosing.get(timeout=5) is a


def test_room_is_shared_out_evenly_and_best_tier_first():
    pool = runtime("a:1", max_in_flight=1)
    pool.take()
    waiters = [start(pool) for _ in range(10)]
    limits = {"max_in_flight": 3, "queue_s": 30}
    pool.edit("a:1", "b:1", "c:1", ("spare:1", {"priority": 1}), limits=limits)
    settle()
    assert {e.address: e.in_flight for e in pool.endpoints.values()} == {"a:1": 3, "b:1": 3, "c:1": 3, "spare:1": 2}
    assert all(waiter.ready() for waiter in waiters)


def test_a_limit_keeps_the_shares_of_the_balancer_while_there_is_room():
    pool = Runtime(("a:1", {"weight": 3}), "b:1", limits={"max_in_flight": 50})
    assert pool.picks(400).count("a:1") == 300
    assert [pool.take() for _ in range(100)]
    assert {e.address: e.in_flight for e in pool.endpoints.values()} == {"a:1": 50, "b:1": 50}


def test_no_slot_is_lost_or_given_twice_whatever_happens():
    """Two hundred greenlets choose, hold, fail, time out or die while members come and go."""
    pool = runtime("a:1", "b:1", "c:1", max_in_flight=3, queue_s=0.05)
    seen = set()

    def exchange(number):
        tried = []
        for _ in range(1 + number % 3):
            try:
                endpoint = pool.take(*tried)
            except GatewayError:
                return
            seen.add(endpoint)
            assert endpoint.in_flight <= 3
            try:
                gevent.sleep(0.001 * (number % 5))
            finally:
                pool.release(endpoint)
            tried.append(endpoint.address)

    greenlets = [gevent.spawn(exchange, number) for number in range(200)]
    for step in range(40):
        gevent.sleep(0.001)
        greenlets[step * 5].kill(ClientGone, block=False)
        names = ("a:1", "b:1", "c:1", "d:1")[step % 3 : step % 3 + 2]
        pool.edit(*names, limits={"max_in_flight": 3, "queue_s": 0.05})
    gevent.joinall(greenlets, timeout=10)
    assert all(greenlet.ready() for greenlet in greenlets)
    assert {endpoint.in_flight for endpoint in seen} == {0}
    assert pool.report()["waiting"] == 0
