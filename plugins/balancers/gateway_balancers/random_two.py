"""Power of two random choices: draw two members, take the less busy one.

One look more than a plain draw, and the longest queue among n members grows with log log n instead of log n (Mitzenmacher, The Power of
Two Choices in Randomized Load Balancing, 2001). Unlike an exact minimum it needs no common view: any number of gateways
may draw side by side, and they do not all run to the member that has just come up.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from gateway.api import Balancer, Candidate, Exchange

#: Lots to draw from, unless there are more candidates: each has a number in proportion to its weight, and at least one.
LOTS = 8192
#: A second lot of the same member is put back so many times.
REDRAWS = 4


class RandomTwo(Balancer):
    """Draw two members in proportion to their weights and take the one with fewer running exchanges for its weight."""

    name = "random_two"

    def __init__(self, config: Balancer.Config, seed: int | None = None) -> None:
        super().__init__(config, seed)
        self._random = Random(seed).random
        self._known: Sequence[Candidate] = ()
        self._lots: Sequence[Candidate] = ()

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Make the lots to draw from."""
        self._known = self._lots = candidates
        lightest, total = min(c.weight for c in candidates), sum(c.weight for c in candidates)
        if total != lightest * len(candidates):
            unit = max(lightest, total / LOTS)
            self._lots = [c for c in candidates for _ in range(max(1, round(c.weight / unit)))]

    def pick(self, exchange: Exchange, candidates: Sequence[Candidate]) -> Candidate:
        """Return the less busy of two that were drawn."""
        random = self._random
        lots = self._lots if candidates is self._known else candidates  # shorter when some are full or have been tried
        count = len(lots)
        first = second = lots[int(random() * count)]
        for _ in range(REDRAWS):
            second = lots[int(random() * count)]
            if second is not first:
                break
        if (second.in_flight + 1) * first.weight < (first.in_flight + 1) * second.weight:
            return second
        return first


__all__ = ["RandomTwo"]
