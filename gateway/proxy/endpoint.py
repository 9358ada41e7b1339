"""Endpoint: a member of a pool as one worker knows it."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.model.pool import Member

#: State changes remembered per endpoint.
TIMELINE = 50


class Endpoint:
    """A member with what happened to it here; a Candidate. It lives as long as its address is in the pool, whatever else is edited.

    ``PoolRuntime`` alone writes to it, except ``idle`` which belongs to the upstream connections.
    """

    __slots__ = (
        "member", "address", "weight", "in_flight", "latency", "failures", "idle", "epoch",
        "healthy", "ejected_until", "ejected_because", "ejections", "returned", "available", "leaving", "timeline",
    )  # fmt: skip

    def __init__(self, member: Member) -> None:
        self.member = member
        self.address = member.address
        self.weight = member.weight
        #: exchanges running now, from this worker
        self.in_flight = 0
        #: seconds to the first octet, exponentially weighted; ``0.0`` until measured
        self.latency = 0.0
        #: failures in a row
        self.failures = 0
        #: open connections nobody uses; the last one is the freshest
        self.idle: list[Any] = []
        #: a connection made in an older epoch must be closed after its exchange instead of going back to ``idle``
        self.epoch = 0
        #: what active checks say; members are used until a check says otherwise
        self.healthy = True
        #: end of the ejection, on the monotonic clock; ``0.0`` = not ejected
        self.ejected_until = 0.0
        self.ejected_because = ""
        #: ejections that count towards the length of the next one
        self.ejections = 0
        #: when the last ejection ended
        self.returned = 0.0
        #: new exchanges may come: the sum of state, weight, health and ejection
        self.available = False
        #: no longer in the pool; only running exchanges keep it
        self.leaving = False
        #: (wall clock, state, reason) of the last changes
        self.timeline: deque[tuple[float, str, str]] = deque(maxlen=TIMELINE)

    def __repr__(self) -> str:
        return f"<Endpoint {self.address} {self.state}, {self.in_flight} running>"

    @property
    def ready(self) -> bool:
        """Whether the operator wants traffic here."""
        return self.member.state == "ready" and self.weight > 0 and not self.leaving

    @property
    def state(self) -> str:
        """One word for people: the strongest reason why traffic comes or does not."""
        if self.leaving:
            return "left"
        if self.member.state != "ready":
            return self.member.state
        if not self.healthy:
            return "down"
        if self.ejected_until:
            return "ejected"
        return "up" if self.weight else "idle"

    def note(self, state: str, reason: str) -> None:
        """Remember a change and why it happened."""
        self.timeline.append((time.time(), state, reason))

    def close_idle(self) -> None:
        """Close connections that nobody uses, and have those in use closed after their exchange."""
        self.epoch += 1
        connections, self.idle[:] = self.idle[:], ()
        for connection in connections:
            connection.close()

    def report(self, now: float) -> dict[str, Any]:
        """Return what a status page shows; ``now`` is on the monotonic clock."""
        return {
            "address": self.address,
            "state": self.state,
            "available": self.available,
            "weight": self.weight,
            "priority": self.member.priority,
            "in_flight": self.in_flight,
            "idle": len(self.idle),
            "latency_ms": round(self.latency * 1000, 3),
            "failures": self.failures,
            "ejected_for_s": round(max(0.0, self.ejected_until - now), 1),
            "timeline": [{"at": at, "state": state, "reason": reason} for at, state, reason in self.timeline],
        }
