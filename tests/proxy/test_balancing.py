"""Which member gets an exchange, and what survives when the configuration changes."""

from collections import Counter

import pytest

from gateway.api import Balancer
from gateway.defaults.round_robin import RoundRobin
from gateway.http.errors import GatewayError
from gateway.model.pool import Pool
from gateway.net import ClientGone
from tests.proxy.pools import BUILTIN, Connection, Runtime


def refusal(pool, *tried):
    with pytest.raises(GatewayError) as caught:
        pool.take(*tried)
    assert caught.value.status == 503
    return caught.value


def test_counts_an_exchange_from_choice_to_release():
    pool = Runtime("a:1")
    endpoint = pool.take()
    assert (endpoint.address, endpoint.in_flight) == ("a:1", 1)
    pool.release(endpoint)
    assert endpoint.in_flight == 0


def test_shares_follow_the_weights():
    pool = Runtime(("a:1", {"weight": 5}), "b:1", "c:1")
    assert Counter(pool.picks(700)) == {"a:1": 500, "b:1": 100, "c:1": 100}


def test_a_weight_of_zero_gets_no_new_exchange():
    pool = Runtime(("a:1", {"weight": 0}), "b:1")
    assert set(pool.picks(20)) == {"b:1"}
    pool.edit(("a:1", {"weight": 0}), ("b:1", {"weight": 0}))
    assert refusal(pool).code == "no_member"


def test_a_pool_without_members_answers_503():
    error = refusal(Runtime())
    assert error.code == "no_member"
    assert "it has none" in error.detail


def test_the_refusal_says_why_each_member_cannot_serve():
    pool = Runtime(("a:1", {"state": "drain"}), "b:1", ("c:1", {"weight": 0}), *[(f"m{n}:1", {"state": "maintenance"}) for n in range(9)])
    pool.health("b:1", False, "probe timed out")
    assert "a:1 drain, b:1 down, c:1 idle, m0:1 maintenance" in refusal(pool).detail
    assert refusal(pool).detail.endswith("and 4 more")


def test_members_already_tried_are_left_out():
    pool = Runtime("a:1", "b:1", "c:1")
    assert {pool.take("a:1", "b:1").address for _ in range(5)} == {"c:1"}
    assert "a:1 tried" in refusal(pool, "a:1", "b:1", "c:1").detail


def test_the_candidates_are_the_same_tuple_until_something_changes():
    pool = Runtime("a:1", "b:1")
    before = pool.candidates
    pool.picks(5)
    pool.health("a:1", True, "still well")
    pool.edit("a:1", "b:1")
    assert pool.candidates is before
    pool.edit("a:1", ("b:1", {"weight": 3}))
    assert pool.candidates is not before


def test_members_of_a_higher_number_serve_only_when_no_lower_one_can():
    pool = Runtime("a:1", "b:1", ("spare:1", {"priority": 1}), ("last:1", {"priority": 2}))
    assert set(pool.picks(10)) == {"a:1", "b:1"}
    assert pool.take("a:1", "b:1").address == "spare:1"
    pool.health("a:1", False, "down")
    pool.health("b:1", False, "down")
    assert set(pool.picks(10)) == {"spare:1"}
    pool.health("spare:1", False, "down")
    assert set(pool.picks(10)) == {"last:1"}
    pool.health("a:1", True, "up")
    assert set(pool.picks(10)) == {"a:1"}


def test_a_full_tier_spills_over_to_the_next():
    pool = Runtime("a:1", ("spare:1", {"priority": 1}), limits={"max_in_flight": 2})
    assert [pool.take().address for _ in range(4)] == ["a:1", "a:1", "spare:1", "spare:1"]


def test_a_member_that_checks_call_down_is_not_used_even_when_it_is_the_last():
    pool = Runtime("a:1", health={"active": {}})
    pool.health("a:1", False, "connection refused")
    assert refusal(pool).code == "no_member"
    pool.health("a:1", True, "2 good probes")
    assert pool.picks(1) == ["a:1"]
    states = [(state, reason) for _, state, reason in pool.endpoints["a:1"].timeline]
    assert states == [("up", "new member"), ("down", "connection refused"), ("up", "2 good probes")]


def test_many_verdicts_at_once_cost_one_change():
    told = []

    class Told(RoundRobin):
        name = "told"

        def changed(self, candidates):
            told.append(len(candidates))
            super().changed(candidates)

    pool = Runtime(*[f"m{n}:1" for n in range(100)], classes={"told": Told}, balancer="told", health={"active": {}})
    pool.healths({f"m{n}:1": {"healthy": n % 4 == 0, "reason": "probe"} for n in range(100)})
    assert told == [100, 25]
    assert len(set(pool.picks(50))) == 25


def test_a_verdict_that_comes_before_its_member_is_kept():
    pool = Runtime("a:1", health={"active": {}})
    pool.health("b:1", False, "connection refused")
    pool.edit("a:1", "b:1", health={"active": {}})
    assert set(pool.picks(4)) == {"a:1"}
    pool.edit("a:1", "b:1")
    assert set(pool.picks(4)) == {"a:1", "b:1"}, "without active checks nobody would ever call it up again"


def test_drain_takes_no_new_exchange_and_lets_running_ones_finish():
    pool = Runtime("a:1", "b:1")
    running = pool.take("b:1")
    running.idle.append(connection := Connection())
    pool.edit(("a:1", {"state": "drain"}), "b:1")
    assert set(pool.picks(5)) == {"b:1"}
    assert (running.in_flight, running.state, connection.closed) == (1, "drain", False)
    pool.release(running)
    pool.edit("a:1", "b:1")
    assert set(pool.picks(5)) == {"a:1", "b:1"}
    assert running is pool.endpoints["a:1"]


def test_maintenance_also_closes_idle_connections_and_those_in_use_afterwards():
    pool = Runtime("a:1", "b:1")
    endpoint = pool.endpoints["a:1"]
    epoch = endpoint.epoch
    endpoint.idle.append(connection := Connection())
    pool.edit(("a:1", {"state": "maintenance"}), "b:1")
    assert (connection.closed, endpoint.idle, endpoint.epoch) == (True, [], epoch + 1)
    pool.edit(("a:1", {"state": "maintenance"}), "b:1")
    assert endpoint.epoch == epoch + 1


def test_other_tls_settings_close_connections_made_with_the_old_ones():
    pool = Runtime("a:1")
    pool.endpoints["a:1"].idle.append(connection := Connection())
    pool.edit("a:1", tls={"server_name": "backend.example"})
    assert connection.closed
    pool.endpoints["a:1"].idle.append(kept := Connection())
    pool.edit("a:1", tls={"server_name": "backend.example"})
    assert not kept.closed


def test_counts_latency_health_and_failures_survive_an_edit():
    pool = Runtime("a:1", "b:1", health={"active": {}})
    endpoint = pool.take("b:1")
    pool.succeeded(endpoint, 0.5)
    pool.failed(endpoint, "reset")
    pool.health("b:1", False, "down")
    pool.edit("c:1", ("b:1", {"weight": 7}), ("a:1", {"weight": 2}), health={"active": {"interval_s": 9}})
    assert pool.endpoints["a:1"] is endpoint
    assert (endpoint.in_flight, endpoint.latency, endpoint.failures, endpoint.weight) == (1, 0.5, 1, 2)
    assert set(pool.picks(6)) == {"a:1", "c:1"}


def test_a_member_that_leaves_finishes_its_exchanges_and_closes_its_connections():
    pool = Runtime("a:1", "b:1")
    endpoint = pool.take("b:1")
    endpoint.idle.append(connection := Connection())
    pool.edit("b:1")
    assert connection.closed
    assert [(m["address"], m["state"]) for m in pool.report()["members"]] == [("b:1", "up"), ("a:1", "left")]
    assert set(pool.picks(5)) == {"b:1"}
    pool.release(endpoint)
    assert [m["address"] for m in pool.report()["members"]] == ["b:1"]


def test_a_member_that_comes_back_while_an_exchange_runs_is_the_same_one():
    pool = Runtime("a:1", "b:1")
    endpoint = pool.take("b:1")
    pool.edit("b:1")
    pool.edit("b:1", "a:1")
    assert pool.endpoints["a:1"] is endpoint
    pool.release(endpoint)
    assert endpoint.in_flight == 0
    assert set(pool.picks(4)) == {"a:1", "b:1"}


def test_latency_is_a_running_average():
    pool = Runtime("a:1")
    endpoint = pool.take()
    pool.succeeded(endpoint, 1.0)
    assert endpoint.latency == 1.0
    pool.succeeded(endpoint, 2.0)
    assert endpoint.latency == pytest.approx(1.1)
    for _ in range(100):
        pool.succeeded(endpoint, 2.0)
    assert endpoint.latency == pytest.approx(2.0, abs=0.001)


def test_a_selector_chooses_before_the_balancer():
    pool = Runtime("a:1", "b:1", "c:1")
    seen = []

    def stay(exchange, candidates):
        seen.append(candidates)
        return candidates[2]

    endpoint = pool.take(selectors=(lambda exchange, candidates: None, stay))
    assert (endpoint.address, endpoint.in_flight) == ("c:1", 1)
    assert seen == [pool.candidates]
    assert pool.take("c:1", selectors=(stay,)).address != "c:1"


@pytest.mark.parametrize("wanted", ["gone:1", "b:1", "spare:1"])
def test_a_selector_cannot_choose_outside_the_candidates(wanted):
    pool = Runtime("a:1", "b:1", "gone:1", ("spare:1", {"priority": 1}))
    remembered = pool.endpoints[wanted]
    pool.edit("a:1", "b:1", ("spare:1", {"priority": 1}))
    pool.health("b:1", False, "down")
    assert pool.take(selectors=(lambda exchange, candidates: remembered,)).address == "a:1"
    assert remembered.in_flight == 0


def test_a_selector_that_raises_is_skipped_and_reported():
    pool = Runtime("a:1")

    def broken(exchange, candidates):
        raise KeyError("session")

    assert pool.take(selectors=(broken,)).address == "a:1"
    assert [type(error) for error in pool.errors] == [KeyError]


def test_a_client_that_goes_while_a_selector_waits_ends_the_choice():
    pool = Runtime("a:1")

    def waiting(exchange, candidates):
        raise ClientGone

    with pytest.raises(ClientGone):
        pool.take(selectors=(waiting,))
    assert pool.endpoints["a:1"].in_flight == 0


class Stubborn(Balancer):
    """Always wants the first candidate it was told of."""

    name = "stubborn"

    def changed(self, candidates):
        self.first = candidates[0]

    def pick(self, exchange, candidates):
        return self.first


class Broken(Balancer):
    """Raises in pick."""

    name = "broken"

    def pick(self, exchange, candidates):
        raise RuntimeError("no idea")


class BrokenEarlier(Broken):
    """Raises in changed."""

    name = "broken_earlier"

    def changed(self, candidates):
        raise RuntimeError("no idea")


@pytest.mark.parametrize("balancer", [Stubborn, Broken, BrokenEarlier])
@pytest.mark.parametrize("limits", [{}, {"max_in_flight": 3}])
def test_a_bad_balancer_costs_no_exchange(balancer, limits):
    pool = Runtime("a:1", "b:1", classes={**BUILTIN, balancer.name: balancer}, balancer=balancer.name, limits=limits)
    assert {pool.take("a:1").address for _ in range(2)} == {"b:1"}
    assert len({pool.take().address for _ in range(2)}) == (1 if balancer is Stubborn else 2)
    assert [type(error) for error in pool.errors] == ([] if balancer is Stubborn else [RuntimeError])


def test_a_balancer_is_kept_until_the_choice_of_one_changes():
    built = []

    class Counted(Stubborn):
        name = "counted"

        class Config(Balancer.Config):
            depth: int = 1

        def __init__(self, config, seed=None):
            super().__init__(config, seed)
            built.append(config.depth)

    choice = {"plugin": "counted", "config": {"depth": 2}}
    pool = Runtime("a:1", classes={"counted": Counted}, balancer=choice)
    pool.edit("a:1", "b:1", balancer=choice)
    assert built == [2]
    pool.edit("a:1", "b:1", balancer="counted")
    assert built == [2, 1]
    assert pool.picks(1) == ["a:1"]


@pytest.mark.parametrize("balancer", ["missing", {"plugin": "round_robin", "config": {"unknown": 1}}])
def test_round_robin_stands_in_for_a_balancer_that_cannot_be_made(balancer):
    pool = Runtime("a:1", "b:1", balancer=balancer)
    assert set(pool.picks(4)) == {"a:1", "b:1"}
    assert len(pool.errors) == 1


def test_a_closed_pool_lets_go_of_everything():
    pool = Runtime("a:1", "b:1")
    endpoint = pool.take("b:1")
    endpoint.idle.append(connection := Connection())
    pool.close()
    assert connection.closed
    assert refusal(pool).code == "no_member"
    pool.release(endpoint)
    assert pool.report()["members"] == []


def test_an_address_named_twice_is_one_member():
    pool = Runtime("a:1", ("a:1", {"weight": 3}))
    assert [m["weight"] for m in pool.report()["members"]] == [3]


def test_the_report_has_what_a_status_page_shows():
    pool = Runtime("a:1")
    pool.succeeded(pool.take(), 0.25)
    report = pool.report()
    assert (report["waiting"], report["requests_10s"], report["retries_10s"]) == (0, 1, 0)
    member = report["members"][0]
    assert (member["state"], member["in_flight"], member["latency_ms"], member["idle"]) == ("up", 1, 250.0, 0)
    assert isinstance(pool.pool, Pool)
