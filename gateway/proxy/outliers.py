"""Passive checks: a member that keeps failing real traffic is taken out for a while.

A member is *ejected* after so many failures in a row (connection errors, timeouts, statuses that count). It returns by itself when its
time is over; the time grows with each ejection and shrinks again while the member serves well. Traffic is weak evidence - the
fault may be the request's, or ours - so an ejection never takes the last member that could serve, nor more of the pool than allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gateway.model.pool import PassiveCheck
from gateway.proxy.endpoint import Endpoint

#: An ejection lasts at most this many times the first one.
LONGEST = 10


def expand_statuses(statuses: Iterable[str | int]) -> frozenset[int]:
    """Return every status of a list such as ``("502-504", 429)``."""
    found: set[int] = set()
    for entry in statuses:
        first, _, last = str(entry).partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


class Outliers:
    """The ejections of one pool."""

    __slots__ = ("settings", "statuses", "ejected")

    def __init__(self, settings: PassiveCheck | None) -> None:
        self.ejected: dict[str, Endpoint] = {}
        self.configure(settings)

    def configure(self, settings: PassiveCheck | None) -> None:
        """Take over new settings; ejections in force keep their end."""
        self.settings = settings
        #: statuses that count as failures; without passive checks they are only counted, for balancers to see
        self.statuses = expand_statuses((settings or PassiveCheck()).statuses)

    def wants_out(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint has failed often enough."""
        settings = self.settings
        return bool(settings and settings.consecutive_failures and endpoint.failures >= settings.consecutive_failures)

    def may_leave(self, endpoint: Endpoint, pool: Collection[Endpoint]) -> bool:
        """Whether the pool can spare the endpoint."""
        if self.settings is None or endpoint.ejected_until or not endpoint.available:
            return False  # who has no traffic anyway (drained, down, gone) is not counted against the others
        if not any(other.available and other is not endpoint and not other.ejected_until for other in pool):
            return False
        most = sum(other.ready for other in pool) * self.settings.max_ejected_percent / 100
        return len(self.ejected) + 1 <= max(1, most)

    def term(self, endpoint: Endpoint, now: float) -> float:
        """Return how long the endpoint would be ejected now, in seconds.

        Each ejection adds one first term; each first term served without an ejection takes one off.
        """
        assert self.settings is not None
        first = self.settings.ejection_s
        if endpoint.returned:
            endpoint.ejections = max(0, endpoint.ejections - int((now - endpoint.returned) / first))
        return first * min(endpoint.ejections + 1, LONGEST)

    def eject(self, endpoint: Endpoint, until: float, reason: str) -> None:
        """Take the endpoint out until then (monotonic clock)."""
        endpoint.ejected_until = until
        endpoint.ejected_because = reason
        endpoint.ejections = min(endpoint.ejections + 1, LONGEST)
        endpoint.failures = 0
        endpoint.note("ejected", reason)
        self.ejected[endpoint.address] = endpoint

    def restore(self, endpoint: Endpoint, now: float, reason: str) -> None:
        """Let the endpoint back in."""
        endpoint.ejected_until = 0.0
        endpoint.returned = now
        endpoint.failures = 0
        endpoint.note("recovered", reason)
        del self.ejected[endpoint.address]

    def forget(self, endpoint: Endpoint) -> None:
        """Drop the endpoint, which has left the pool."""
        if self.ejected.pop(endpoint.address, None) is not None:
            endpoint.ejected_until = 0.0

    def due(self, now: float) -> list[Endpoint]:
        """Return the endpoints whose time is over."""
        return [endpoint for endpoint in self.ejected.values() if endpoint.ejected_until <= now]
