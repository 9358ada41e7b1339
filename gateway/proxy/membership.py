"""Who is in a pool, and who of them may have new exchanges.

Health has three sources, strongest first. The operator's word (state, weight) is always kept. A member that active checks call down
is never used, even if that leaves none (503 ``no_member``): a probe is evidence. An ejection for failing traffic is a guess: when only
ejected members are left, they are used again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from gateway.model.pool import Member, Pool
from gateway.proxy.endpoint import Endpoint
from gateway.proxy.outliers import Outliers

#: Share of a new measurement in the average latency.
FRESH = 0.1


class Membership:
    """The members of one pool, keyed by address: counts, latencies, health and ejections outlive every change of configuration.

    ``notify`` is told of ejections and recoveries found here, as the frames that go to the agent.
    """

    def __init__(self, pool: Pool, notify: Callable[[dict[str, Any]], object], clock: Callable[[], float] = time.monotonic) -> None:
        self.pool = pool
        #: by address; the order is the configuration's
        self.endpoints: dict[str, Endpoint] = {}
        #: members of the best priority that new exchanges may use; the same tuple until that changes
        self.candidates: tuple[Endpoint, ...] = ()
        self.outliers = Outliers(pool.health.passive)
        self.notify = notify
        self._clock = clock
        self._tiers: tuple[tuple[Endpoint, ...], ...] = ()
        self._weights: tuple[int, ...] = ()
        #: out of the pool, with exchanges that still run
        self._leaving: dict[str, Endpoint] = {}
        #: what active checks said, also of addresses that a snapshot still on its way will bring
        self._verdicts: dict[str, tuple[bool, str]] = {}

    # -- what exchanges tell -------------------------------------------------------------------------------------------------------

    def succeeded(self, endpoint: Endpoint, latency_s: float) -> None:
        """A response has begun, ``latency_s`` after the request was sent. ``report_status`` judges it."""
        latency = endpoint.latency
        endpoint.latency = latency + (latency_s - latency) * FRESH if latency else latency_s

    def report_status(self, endpoint: Endpoint, status: int) -> None:
        """The member has answered with this status: a success, unless passive checks count it as a failure."""
        if status in self.outliers.statuses:
            self.failed(endpoint, f"status_{status}")
        elif endpoint.failures:
            endpoint.failures = 0

    def failed(self, endpoint: Endpoint, code: str) -> None:
        """The member did not answer (``connect_failure``, ``first_byte_timeout``): its fault, not the client's."""
        endpoint.failures += 1
        outliers = self.outliers
        if outliers.wants_out(endpoint) and outliers.may_leave(endpoint, self.endpoints.values()):
            now = self._clock()
            until = now + outliers.term(endpoint, now)
            reason = f"{endpoint.failures} failures in a row, the last: {code}"
            outliers.eject(endpoint, until, reason)
            self._rebuild()
            self.notify(self._frame(endpoint))

    # -- what others know ----------------------------------------------------------------------------------------------------------

    def health(self, address: str, healthy: bool, reason: str) -> None:
        """Take over the verdict of active checks. A member that comes up again is no longer ejected either."""
        self.healths({address: {"healthy": healthy, "reason": reason}})

    def healths(self, verdicts: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over many verdicts at once, as they come from the agent: ``healthy`` and ``reason`` by address."""
        changed = False
        for address, verdict in verdicts.items():
            healthy, reason = bool(verdict["healthy"]), str(verdict["reason"])
            self._verdicts[address] = healthy, reason
            endpoint = self.endpoints.get(address)
            if endpoint is not None and endpoint.healthy != healthy:
                changed = True
                endpoint.healthy = healthy
                endpoint.note("up" if healthy else "down", reason)
                if healthy and endpoint.ejected_until:
                    self.outliers.restore(endpoint, self._clock(), reason)
        if changed:
            self._rebuild()

    def ejected(self, address: str, until: float, reason: str) -> None:
        """Take over an ejection that another worker found (monotonic clock); ignored when the pool cannot spare the member."""
        endpoint = self.endpoints.get(address)
        if endpoint is not None and until > self._clock() and self.outliers.may_leave(endpoint, self.endpoints.values()):
            self.outliers.eject(endpoint, until, reason)
            self._rebuild()

    def recovered(self, address: str, reason: str = "ended by another worker") -> None:
        """End an ejection early."""
        endpoint = self.outliers.ejected.get(address)
        if endpoint is not None:
            self.outliers.restore(endpoint, self._clock(), reason)
            self._rebuild()

    def ejections(self) -> list[dict[str, Any]]:
        """Return the ejections in force as frames, for an agent that has just come."""
        return [self._frame(endpoint) for endpoint in self.outliers.ejected.values()]

    def _frame(self, endpoint: Endpoint) -> dict[str, Any]:
        about = {"address": endpoint.address, "until": endpoint.ejected_until, "reason": endpoint.ejected_because}
        return {"type": "ejected", "pool": self.pool.name, **about}

    def _end_ejections(self, now: float) -> None:
        due = self.outliers.due(now)
        for endpoint in due:
            self.outliers.restore(endpoint, now, "ejection is over")
            self.notify({"type": "recovered", "pool": self.pool.name, "address": endpoint.address})
        if due:
            self._rebuild()

    # -- configuration -------------------------------------------------------------------------------------------------------------

    def _take_over(self, pool: Pool) -> None:
        """Make the members those of this pool; ``_rebuild`` is still to be called."""
        before, self.pool = self.pool, pool
        endpoints = {member.address: self._endpoint(member) for member in pool.members}
        for address, endpoint in self.endpoints.items():
            if address not in endpoints:
                self._leave(endpoint)
        for endpoint in endpoints.values():
            if pool.tls != before.tls:
                endpoint.close_idle()
            if pool.health.active is None and not endpoint.healthy:
                endpoint.healthy = True
                endpoint.note("up", "no active checks any more")
        if pool.health.active is None:
            self._verdicts.clear()
        self.endpoints = endpoints
        self.outliers.configure(pool.health.passive)

    def _endpoint(self, member: Member) -> Endpoint:
        endpoint = self.endpoints.get(member.address) or self._leaving.pop(member.address, None)
        if endpoint is None:
            endpoint = Endpoint(member)
            endpoint.note(endpoint.state, "new member")
            healthy, reason = self._verdicts.get(member.address, (True, ""))
            if not healthy:
                endpoint.healthy = False
                endpoint.note("down", reason)
            return endpoint
        before, endpoint.member = endpoint.member, member
        endpoint.weight = member.weight
        if endpoint.leaving:
            endpoint.leaving = False
            endpoint.note(endpoint.state, "back in the pool")
        if member.state != before.state:
            endpoint.note(member.state, "set by configuration")
            if member.state == "maintenance":
                endpoint.close_idle()
        if member.weight != before.weight:
            endpoint.note(endpoint.state, f"weight {before.weight} -> {member.weight}")
        return endpoint

    def _leave(self, endpoint: Endpoint) -> None:
        """Take no new exchange to the endpoint, close what is idle, and let running exchanges finish."""
        endpoint.leaving = True
        endpoint.available = False
        endpoint.close_idle()
        endpoint.note("left", "no longer in the pool")
        self.outliers.forget(endpoint)
        self._verdicts.pop(endpoint.address, None)
        if endpoint.in_flight:
            self._leaving[endpoint.address] = endpoint

    # -- who is available ----------------------------------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        """Work out the candidates after a change of membership, state, weight or health."""
        up = [endpoint for endpoint in self.endpoints.values() if endpoint.ready and endpoint.healthy]
        usable = [endpoint for endpoint in up if not endpoint.ejected_until] or up
        for endpoint in self.endpoints.values():
            endpoint.available = False
        for endpoint in usable:
            endpoint.available = True
        usable.sort(key=_priority)
        self._tiers = tuple(tuple(tier) for _, tier in groupby(usable, _priority))
        candidates = self._tiers[0] if self._tiers else ()
        weights = tuple([endpoint.weight for endpoint in candidates])
        if candidates != self.candidates or weights != self._weights:
            self.candidates = candidates
            self._weights = weights
            if candidates:
                self._announce(candidates)
        self._rebuilt()

    def _announce(self, candidates: tuple[Endpoint, ...]) -> None:
        """Tell the balancer."""
        raise NotImplementedError

    def _rebuilt(self) -> None:
        """See who can be served now."""
        raise NotImplementedError


def _priority(endpoint: Endpoint) -> int:
    return endpoint.member.priority


__all__ = ["Membership"]
