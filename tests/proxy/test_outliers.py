"""Members that keep failing real traffic are taken out for a while."""

import pytest

from gateway.http.errors import GatewayError
from gateway.proxy.outliers import expand_statuses
from tests.proxy.pools import Runtime, make_exchange

WATCHED = {"passive": {"consecutive_failures": 3, "ejection_s": 30}}
FOUR = ("a:1", "b:1", "c:1", "d:1")


def runtime(*spec, **passive):
    return Runtime(*(spec or FOUR), health={"passive": {**WATCHED["passive"], **passive}})


def fail(pool, address, times=3, code="reset_before_headers"):
    for _ in range(times):
        pool.failed(pool.endpoints[address], code)


def pass_time(pool, seconds):
    """Move the clock and let one exchange notice."""
    pool.clock.now += seconds
    pool.release(pool.take())


def out(pool):
    return [endpoint.address for endpoint in pool.endpoints.values() if endpoint.ejected_until]


def test_failures_in_a_row_eject_a_member():
    pool = runtime()
    fail(pool, "a:1", 2)
    assert out(pool) == []
    fail(pool, "a:1", 1, "connect_timeout")
    assert out(pool) == ["a:1"]
    assert set(pool.picks(20)) == {"b:1", "c:1", "d:1"}
    reason = "3 failures in a row, the last: connect_timeout"
    assert pool.frames == [{"type": "ejected", "pool": "users", "address": "a:1", "until": pool.clock.now + 30, "reason": reason}]
    assert pool.endpoints["a:1"].timeline[-1][1:] == ("ejected", reason)
    assert pool.ejections() == pool.frames, "for an agent that comes later"
    pool.recovered("a:1")
    assert pool.ejections() == []


def test_a_success_in_between_starts_the_count_again():
    pool = runtime()
    for _ in range(5):
        fail(pool, "a:1", 2)
        pool.report_status(pool.endpoints["a:1"], 200)
    assert out(pool) == []


def test_statuses_count_as_failures_as_configured():
    pool = runtime(statuses=["500-503", 429])
    endpoint = pool.endpoints["a:1"]
    for status in (500, 429):
        pool.succeeded(endpoint, 0.01)
        pool.report_status(endpoint, status)
    assert (endpoint.failures, out(pool)) == (2, [])
    pool.report_status(endpoint, 504)
    assert endpoint.failures == 0
    for _ in range(3):
        pool.report_status(endpoint, 503)
    assert out(pool) == ["a:1"]
    assert "status_503" in pool.frames[0]["reason"]


def test_a_member_returns_when_its_time_is_over():
    pool = runtime()
    fail(pool, "a:1")
    pass_time(pool, 29)
    assert out(pool) == ["a:1"]
    pass_time(pool, 1)
    assert out(pool) == []
    assert pool.frames[-1] == {"type": "recovered", "pool": "users", "address": "a:1"}
    assert set(pool.picks(8)) == set(FOUR)
    fail(pool, "a:1", 2)
    assert out(pool) == [], "it starts with a clean slate"


def test_the_report_notices_without_traffic_that_time_is_over():
    pool = runtime()
    fail(pool, "a:1")
    pool.clock.now += 5
    told = pool.report()["members"][0]
    assert (told["state"], told["available"], told["ejected_for_s"]) == ("ejected", False, 25.0)
    pool.clock.now += 26
    told = pool.report()["members"][0]
    assert (told["state"], told["available"], told["ejected_for_s"]) == ("up", True, 0.0)


def test_each_further_ejection_lasts_longer_up_to_ten_times():
    pool = runtime()
    terms = []
    for _ in range(12):
        fail(pool, "a:1")
        terms.append(pool.endpoints["a:1"].ejected_until - pool.clock.now)
        pass_time(pool, terms[-1])
    assert terms == [30 * n for n in range(1, 11)] + [300, 300]


def test_serving_well_shortens_the_next_ejection_again():
    pool = runtime()
    for _ in range(4):
        fail(pool, "a:1")
        pass_time(pool, pool.endpoints["a:1"].ejected_until - pool.clock.now)
    pass_time(pool, 30 * 3)
    fail(pool, "a:1")
    assert pool.endpoints["a:1"].ejected_until - pool.clock.now == 60


def test_the_only_member_is_never_ejected():
    pool = runtime("a:1")
    fail(pool, "a:1", 20)
    assert (out(pool), pool.picks(1)) == ([], ["a:1"])


def test_no_more_of_the_pool_is_ejected_than_allowed():
    pool = runtime(max_ejected_percent=50)
    for address in FOUR:
        fail(pool, address, 5)
    assert out(pool) == ["a:1", "b:1"]
    assert set(pool.picks(10)) == {"c:1", "d:1"}
    pass_time(pool, 30)
    fail(pool, "c:1")
    assert out(pool) == ["c:1"]


def test_one_member_may_always_go_unless_it_is_the_only_one():
    pool = runtime(max_ejected_percent=0)
    fail(pool, "a:1")
    fail(pool, "b:1")
    assert out(pool) == ["a:1"]


def test_the_last_that_could_serve_is_never_ejected():
    pool = runtime(max_ejected_percent=100)
    pool.health("a:1", False, "down")
    pool.edit(
        "a:1",
        "b:1",
        ("c:1", {"state": "drain"}),
        "d:1",
        health={"active": {}, "passive": {"consecutive_failures": 3, "max_ejected_percent": 100}},
    )
    fail(pool, "b:1")
    fail(pool, "d:1")
    assert out(pool) == ["b:1"]
    assert set(pool.picks(3)) == {"d:1"}


def test_ejected_members_serve_again_when_none_is_left():
    pool = Runtime("a:1", "b:1", health={"active": {}, **WATCHED})
    fail(pool, "a:1")
    pool.health("b:1", False, "connection refused")
    assert set(pool.picks(3)) == {"a:1"}, "a guess from traffic must not close a pool"
    assert out(pool) == ["a:1"]
    pool.health("b:1", True, "back")
    assert set(pool.picks(3)) == {"b:1"}
    pool.health("b:1", False, "connection refused")
    pool.health("a:1", False, "connection refused")
    with pytest.raises(GatewayError, match="no member is left"):
        pool.take()


def test_an_ejected_primary_makes_way_for_the_spare():
    pool = runtime("a:1", ("spare:1", {"priority": 1}))
    fail(pool, "a:1")
    assert set(pool.picks(3)) == {"spare:1"}


def test_a_member_that_checks_call_up_is_no_longer_ejected():
    pool = Runtime(*FOUR, health={"active": {}, **WATCHED})
    fail(pool, "a:1")
    pool.health("a:1", True, "a probe went well")
    assert out(pool) == ["a:1"], "it was never down: the probe says nothing new"
    pool.health("a:1", False, "down")
    pool.health("a:1", True, "2 good probes")
    assert out(pool) == []
    assert set(pool.picks(8)) == set(FOUR)


def test_another_workers_ejection_is_taken_over_silently():
    pool = runtime()
    until = pool.clock.now + 12
    pool.ejected("a:1", until, "5 failures in worker 3")
    assert (out(pool), pool.endpoints["a:1"].ejected_until, pool.frames) == (["a:1"], until, [])
    pool.ejected("a:1", until + 99, "again")
    assert pool.endpoints["a:1"].ejected_until == until
    pool.recovered("a:1")
    assert out(pool) == []
    pool.recovered("a:1")
    pool.ejected("unknown:1", until, "who?")
    pool.ejected("b:1", pool.clock.now - 1, "too late")
    assert out(pool) == []


def test_another_workers_ejection_does_not_take_the_last_member():
    pool = runtime("a:1")
    pool.ejected("a:1", pool.clock.now + 12, "5 failures in worker 3")
    assert out(pool) == []


def test_late_failures_of_an_ejected_member_change_nothing():
    pool = runtime()
    fail(pool, "a:1")
    until = pool.endpoints["a:1"].ejected_until
    fail(pool, "a:1", 10)
    assert (pool.endpoints["a:1"].ejected_until, len(pool.frames)) == (until, 1)
    pass_time(pool, 30)
    fail(pool, "a:1", 2)
    assert out(pool) == []


def test_an_ejection_survives_an_edit_and_ends_with_the_member():
    pool = runtime()
    fail(pool, "a:1")
    pool.edit(*FOUR, "e:1", health=WATCHED)
    assert out(pool) == ["a:1"]
    pool.edit("b:1", "c:1", health=WATCHED)
    pool.edit("a:1", "b:1", "c:1", health=WATCHED)
    assert out(pool) == []
    fail(pool, "b:1")
    assert out(pool) == ["b:1"], "who has left does not count towards the percentage"


@pytest.mark.parametrize("state", ["drain", "maintenance", "gone"])
def test_failures_of_a_member_without_traffic_take_nobodys_place(state):
    pool = runtime(max_ejected_percent=25)
    member = pool.take("b:1", "c:1", "d:1")
    pool.edit(
        *([] if state == "gone" else [("a:1", {"state": state})]),
        *FOUR[1:],
        health={"passive": {"consecutive_failures": 3, "max_ejected_percent": 25}},
    )
    for _ in range(5):
        pool.failed(member, "reset")
    pool.release(member)
    assert pool.frames == []
    fail(pool, "b:1")
    assert out(pool) == ["b:1"]


def test_without_passive_checks_failures_are_only_counted():
    pool = Runtime("a:1", "b:1")
    fail(pool, "a:1", 50)
    assert (out(pool), pool.endpoints["a:1"].failures) == ([], 50)
    pool = runtime(consecutive_failures=0)
    fail(pool, "a:1", 50)
    assert out(pool) == []


def test_passive_checks_that_are_switched_off_end_no_ejection_early():
    pool = runtime()
    fail(pool, "a:1")
    pool.edit(*FOUR)
    assert out(pool) == ["a:1"]
    pass_time(pool, 31)
    assert out(pool) == []


def test_the_timeline_keeps_the_last_fifty_changes():
    pool = runtime()
    for number in range(60):
        pool.health("a:1", bool(number % 2), f"probe {number}")
    timeline = pool.report()["members"][0]["timeline"]
    assert len(timeline) == 50
    assert (timeline[-1]["state"], timeline[-1]["reason"]) == ("up", "probe 59")


def test_an_exchange_older_than_the_second_changes_nothing():
    pool = runtime()
    fail(pool, "a:1")
    pool.release(pool.choose(make_exchange(pool.clock.now - 500)))
    assert out(pool) == ["a:1"]


def test_statuses_are_single_ones_and_ranges():
    assert expand_statuses(("502-504", "429", 500)) == {429, 500, 502, 503, 504}
