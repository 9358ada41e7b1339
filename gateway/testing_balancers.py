"""What every balancer must do, as one call: ``check_balancer(MyBalancer)``.

Part of the plugin author's kit; import it from ``gateway.testing``.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.hooks.plugin import Balancer, Candidate
from gateway.http.message import Request
from gateway.model.exchange import Exchange
from gateway.model.pool import Member

#: Reads of candidates that a pick among 1,000 may make; a scan makes 1,000.
READS = 100


class Watched:
    """A Candidate that counts how often balancers look at its changing numbers."""

    __slots__ = ("member", "address", "weight", "failures", "latency", "running", "reads")

    def __init__(self, member: Member, latency: float = 0.01) -> None:
        self.member = member
        self.address = member.address
        self.weight = member.weight
        self.failures = 0
        self.latency = latency
        self.running = 0
        self.reads = 0

    def __repr__(self) -> str:
        return self.address

    @property
    def in_flight(self) -> int:
        """Exchanges running now."""
        self.reads += 1
        return self.running

    @in_flight.setter
    def in_flight(self, value: int) -> None:
        self.running = value


def candidates(*weights: int, first: int = 1) -> tuple[Watched, ...]:
    """Return candidates with these weights; their addresses count from ``member-1:80``."""
    return tuple(Watched(Member(address=f"member-{first + i}:80", weight=weight)) for i, weight in enumerate(weights))


def exchanges(count: int) -> Iterable[Exchange]:
    """Yield exchanges of different clients for different paths."""
    for number in range(count):
        request = Request("GET", f"/items/{number}", host="test.example", query=f"n={number}")
        yield Exchange(request, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", time.monotonic())


def play(balancer: Balancer, members: Sequence[Candidate], count: int, load: int = 4) -> list[str]:
    """Let the balancer choose ``count`` times and return the addresses.

    Each exchange runs until ``load`` times the sum of the weights others have begun, as if all took equally long.
    """
    running: deque[Any] = deque()
    chosen = []
    room = load * sum(c.weight for c in members)
    for exchange in exchanges(count):
        picked = balancer.pick(exchange, members)
        assert any(picked is c for c in members), f"{picked!r} was chosen, which is not among the candidates"
        picked.in_flight += 1
        chosen.append(picked.address)
        running.append(picked)
        if len(running) > room:
            running.popleft().in_flight -= 1
    for candidate in running:
        candidate.in_flight -= 1
    return chosen


def check_balancer(
    balancer: type[Balancer], config: Mapping[str, Any] | None = None, *, tolerance: float = 0.25, weighted: bool = True
) -> None:
    """Assert everything that a pool expects of its balancer.

    It chooses candidates only, also among a shorter tuple than it was told of; members get their share, to within ``tolerance``, in
    proportion to their weights (equal shares when ``weighted`` is false); members come and go; the same seed gives the same choices;
    a pick in a pool of 1,000 is no scan; and it changes nothing about the candidates.
    """
    settings = balancer.Config.model_validate(dict(config or {}))

    def make(members: Sequence[Candidate], seed: int = 7) -> Balancer:
        made = balancer(settings, seed)
        made.changed(members)
        return made

    _check_shares(make, tolerance, weighted)
    _check_shorter(make)
    _check_growth(make, tolerance)
    _check_seed(make)
    _check_reads(make)


def _check_shares(make: Any, tolerance: float, weighted: bool) -> None:
    for weights in ((1,), (1, 1), (1, 1, 1), (5, 1, 1), (100, 200, 300), (2,) * 12 + (1,) * 12):
        members = candidates(*weights)
        before = [(c.member, c.address, c.weight, c.failures, c.latency) for c in members]
        count = 400 * len(weights)
        shares = Counter(play(make(members), members, count))
        for member in members:
            due = count * member.weight / sum(weights) if weighted else count / len(weights)
            got = shares[member.address]
            assert abs(got - due) <= tolerance * due + 1, f"weights {weights}: {member} got {got} of {count}, {due:.0f} are its share"
        assert before == [(c.member, c.address, c.weight, c.failures, c.latency) for c in members], "a candidate was changed"


def _check_shorter(make: Any) -> None:
    for size in (2, 5, 40):
        members = candidates(*[1] * size)
        chooser = make(members)
        for position in range(size):  # tried or full
            play(chooser, members[:position] + members[position + 1 :], 20)
            play(chooser, (members[position],), 2)
            play(chooser, members, 3)
        strangers = candidates(1, 1, first=1000)  # the next tier of priority, when this one is full
        play(chooser, strangers, 10)
        play(chooser, members, 10)


def _check_growth(make: Any, tolerance: float) -> None:
    members = candidates(1, 1, 1)
    chooser = make(members)
    play(chooser, members, 300)
    grown = (*members, *candidates(1, first=4))
    chooser.changed(grown)
    shares = Counter(play(chooser, grown, 1600))
    assert abs(shares["member-4:80"] - 400) <= tolerance * 400 + 1, f"the new member got {shares['member-4:80']} of 1600"
    chooser.changed(grown[1:])
    assert "member-1:80" not in play(chooser, grown[1:], 300)
    chooser.changed(grown[:1])
    assert set(play(chooser, grown[:1], 10)) == {"member-1:80"}
    chooser.changed(grown)
    assert set(play(chooser, grown, 400)) == {c.address for c in grown}


def _check_seed(make: Any) -> None:
    def choices(seed: int) -> list[str]:
        members = candidates(*range(1, 21))
        return play(make(members, seed), members, 200)

    assert choices(3) == choices(3), "the same seed gave different choices"


def _check_reads(make: Any) -> None:
    members = candidates(*[1] * 1000)
    chooser = make(members)
    play(chooser, members, 50)
    for member in members:
        member.reads = 0
    for exchange in exchanges(20):
        chooser.pick(exchange, members)
    reads = sum(member.reads for member in members) / 20
    assert reads <= READS, f"a pick in a pool of 1,000 looked {reads:.0f} times at a candidate: it scans"


__all__ = ["Watched", "candidates", "check_balancer", "exchanges", "play"]
