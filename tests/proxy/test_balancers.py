"""The built-in balancers, and the checks that every balancer passes."""

from collections import Counter
from itertools import islice, pairwise

import pytest

from gateway.api import Balancer
from gateway.defaults.least_connections import LeastConnections
from gateway.defaults.round_robin import TABLE, RoundRobin, interleave
from gateway.testing_balancers import candidates, check_balancer, exchanges, play


def make(balancer, members, seed=1):
    made = balancer(balancer.Config(), seed)
    made.changed(members)
    return made


@pytest.mark.parametrize(("balancer", "tolerance"), [(RoundRobin, 0.02), (LeastConnections, 0.25)])
def test_a_built_in_balancer_passes_the_shared_checks(balancer, tolerance):
    check_balancer(balancer, tolerance=tolerance)


def turns(*weights, start=0.0):
    members = candidates(*weights)
    letters = {c.address: chr(ord("a") + i) for i, c in enumerate(members)}
    return "".join(letters[c.address] for c in islice(interleave(members, start), sum(weights)))


def test_round_robin_has_no_bursts_on_the_heavy_one():
    assert turns(5, 1, 1) == "abaaaca"
    assert turns(1, 1, 1) == "abc"
    assert turns(3, 1) == "aaba"
    for start in (0.0, 0.3, 0.77):
        order = turns(50, 30, 20, start=start) * 2
        gaps = [second - first for first, second in pairwise(i for i, letter in enumerate(order) if letter == "c")]
        assert max(gaps) <= 7, "a fifth of the turns comes every fifth turn, give or take"


@pytest.mark.parametrize("weights", [(5, 1, 1), (7, 7, 2, 1), (100, 250), (1,) * 37])
def test_every_period_has_each_member_as_often_as_its_weight_says(weights):
    members = candidates(*weights)
    stream = interleave(members, 0.41)
    for _ in range(3):
        shares = Counter(c.address for c in islice(stream, sum(weights)))
        assert [shares[c.address] for c in members] == list(weights)


def test_weights_too_large_for_a_table_are_still_exact():
    members = candidates(65535, 65534, 1)
    chooser = make(RoundRobin, members)
    assert sum(c.weight for c in members) > TABLE
    shares = Counter(c.address for c in (chooser.pick(exchange, members) for exchange in exchanges(20000)))
    assert abs(shares["member-1:80"] - 10000) <= 2
    assert abs(shares["member-2:80"] - 10000) <= 2


def test_workers_do_not_begin_with_the_same_member():
    members = candidates(*[1] * 100)
    exchange = next(iter(exchanges(1)))
    assert len({make(RoundRobin, members, seed).pick(exchange, members).address for seed in range(40)}) > 20


def test_round_robin_finds_one_free_member_among_many():
    members = candidates(*[1] * 500)
    assert set(play(make(RoundRobin, members), (members[321],), 5)) == {"member-322:80"}


def test_least_connections_takes_the_least_busy_for_its_weight():
    members = candidates(1, 4, 2)
    chooser = make(LeastConnections, members)
    exchange = next(iter(exchanges(1)))
    for running, expected in (((0, 0, 0), 1), ((0, 5, 1), 0), ((1, 9, 0), 2), ((2, 9, 9), 1)):
        for member, count in zip(members, running, strict=True):
            member.in_flight = count
        scores = [(c.in_flight + 1) / c.weight for c in members]
        best = chooser.pick(exchange, members)
        assert (best.in_flight + 1) / best.weight == min(scores)
        assert best in [members[i] for i, score in enumerate(scores) if score == scores[expected]]


def test_least_connections_breaks_ties_evenly():
    members = candidates(*[1] * 5)
    chooser = make(LeastConnections, members)
    shares = Counter(chooser.pick(exchange, members).address for exchange in exchanges(5000))
    assert min(shares.values()) > 850


def test_least_connections_avoids_a_slow_member_of_a_large_pool():
    members = candidates(*[1] * 200)
    chooser = make(LeastConnections, members)
    members[0].in_flight = 50
    assert play(chooser, members, 2000).count("member-1:80") == 0


class NotAmong(Balancer):
    """Ignores what it is given."""

    def changed(self, candidates):
        self.kept = candidates

    def pick(self, exchange, candidates):
        return self.kept[exchange.started.is_integer()]


class First(Balancer):
    """Never looks further."""

    def pick(self, exchange, candidates):
        return candidates[0]


class Scan(Balancer):
    """Looks at every candidate."""

    def pick(self, exchange, candidates):
        return min(candidates, key=lambda c: (c.in_flight + 1) / c.weight)


class Moody(RoundRobin):
    """Forgets its seed."""

    def __init__(self, config, seed=None):
        super().__init__(config)


@pytest.mark.parametrize(
    ("balancer", "complaint"),
    [(NotAmong, "its share|not among"), (First, "its share"), (Scan, "it scans"), (Moody, "same seed")],
)
def test_the_shared_checks_find_what_is_wrong(balancer, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_balancer(balancer)
