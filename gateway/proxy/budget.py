"""Retry budget: retries stay a small share of the requests, so that they cannot finish off a pool that is in trouble."""

from __future__ import annotations

from collections import deque

#: Seconds that the budget looks back.
WINDOW_S = 10


class RetryBudget:
    """Requests and retries of the last ten seconds, to the second.

    The hot path adds one to ``requests`` and compares one number with ``ends``; everything else happens once a second
    or when a retry is wanted.
    """

    __slots__ = ("requests", "retries", "ends", "_second", "_past")

    def __init__(self, now: float) -> None:
        #: of the current second
        self.requests = 0
        self.retries = 0
        self._second = int(now)
        #: when the current second is over: the first request after it calls ``turn``
        self.ends = float(self._second + 1)
        self._past: deque[tuple[int, int, int]] = deque(maxlen=WINDOW_S)

    def turn(self, now: float) -> None:
        """Begin a new second, if the current one is over."""
        if now >= self.ends:
            self._past.append((self._second, self.requests, self.retries))
            self.requests = self.retries = 0
            self._second = int(now)
            self.ends = float(self._second + 1)

    def totals(self, now: float) -> tuple[int, int]:
        """Return requests and retries of the last ten seconds."""
        self.turn(now)
        requests, retries, oldest = self.requests, self.retries, self._second - WINDOW_S
        for second, asked, repeated in self._past:
            if second > oldest:
                requests += asked
                retries += repeated
        return requests, retries

    def take(self, now: float, percent: float, floor: int) -> bool:
        """Take one retry from the budget; False when it is used up.

        Allowed are ``percent`` of the requests, and ``floor`` however few they were.
        """
        requests, retries = self.totals(now)
        if retries >= max(floor, requests * percent / 100):
            return False
        self.retries += 1
        return True
