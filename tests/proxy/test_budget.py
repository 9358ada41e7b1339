"""Retries stay a small share of the requests."""

import pytest

from gateway.model.route import Retries
from gateway.proxy.budget import RetryBudget
from tests.proxy.pools import Runtime


def taken(budget, now, percent=20, floor=0, most=1000):
    return next((count for count in range(most) if not budget.take(now, percent, floor)), most)


@pytest.mark.parametrize(
    ("requests", "percent", "floor", "allowed"), [(100, 20, 0, 20), (100, 20, 50, 50), (0, 20, 10, 10), (100, 0, 0, 0), (7, 100, 0, 7)]
)
def test_allows_a_percentage_of_the_requests_and_a_floor(requests, percent, floor, allowed):
    budget = RetryBudget(50.0)
    budget.requests = requests
    assert taken(budget, 50.0, percent, floor) == allowed


def test_looks_back_ten_seconds_and_no_further():
    budget = RetryBudget(50.0)
    for second in range(50, 70):
        budget.turn(second + 0.5)
        budget.requests += 10
    assert budget.totals(69.9) == (100, 0)
    assert taken(budget, 69.9) == 20
    assert budget.totals(78.9) == (10, 20)
    assert budget.totals(79.0) == (0, 0)


def test_a_pause_forgets_everything():
    budget = RetryBudget(50.0)
    budget.requests = 1000
    budget.take(50.5, 20, 0)
    assert budget.totals(500.0) == (0, 0)


def test_a_pool_counts_requests_but_not_their_retries():
    pool = Runtime("a:1", "b:1", retries={"budget_percent": 10, "budget_floor": 0})
    for _ in range(50):
        pool.release(pool.take())
        pool.release(pool.take("a:1"))
    assert [pool.may_retry() for _ in range(6)] == [True] * 5 + [False]
    pool.clock.now += 4
    assert not pool.may_retry()
    pool.clock.now += 7
    pool.picks(10)
    assert [pool.may_retry() for _ in range(2)] == [True, False]


def test_a_routes_own_settings_apply_to_the_pools_budget():
    pool = Runtime("a:1", retries={"budget_percent": 0, "budget_floor": 0})
    assert not pool.may_retry()
    generous = Retries(budget_floor=2)
    assert [pool.may_retry(generous) for _ in range(3)] == [True, True, False]
