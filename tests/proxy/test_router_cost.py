"""What routing may cost. Times are CPU times and compared with each other, because machines differ."""

import pytest

from benchmarks.micro_router import KINDS, entries, exchange, per_call
from gateway.proxy.router import Router

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("kind", KINDS)
def test_finding_a_route_among_ten_thousand_costs_little_more_than_among_ten(kind):
    costs = []
    for size in (10, 10_000):
        router, asked = Router.build(entries(kind, size)), exchange(kind, size // 2)
        costs.append(per_call(lambda router=router, asked=asked: router.find(asked), 5_000, 5))
    assert costs[1] < 2 * costs[0] + 0.5, f"{costs[0]:.2f} and {costs[1]:.2f} µs"


@pytest.mark.parametrize("kind", ["prefix", "exact host", "template"])
def test_changing_one_of_ten_thousand_routes_is_a_hundredth_of_building_them(kind):
    made = list(entries(kind, 10_000))
    build = per_call(lambda: Router.build(made), 1, 2)
    router = Router.build(made)
    change = per_call(lambda: router.updated(["route-5000"], [made[5000]]), 5, 5)
    assert change < build / 100, f"{build / 1000:.0f} and {change / 1000:.2f} ms"
