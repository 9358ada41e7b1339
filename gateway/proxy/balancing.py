"""A pool as one worker runs it: which member gets an exchange, and what is known of each.

The plain case - no limit per member, first try, no ``select_backend`` policy - is one comparison, one call of the balancer and two
additions. All else takes the slow path: members already tried, full members and the queue behind them, tiers of priority.

Health has three sources, strongest first. The operator's word (state, weight) is always kept. A member that active checks call down
is never used, even if that leaves none (503 ``no_member``): a probe is evidence. An ejection for failing traffic is a guess: when only
ejected members are left, they are used again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from gateway.defaults.round_robin import RoundRobin
from gateway.hooks.plugin import Balancer, Candidate
from gateway.http.errors import GatewayError
from gateway.model.exchange import Exchange
from gateway.model.pool import Member, Pool
from gateway.model.route import Retries
from gateway.net import ClientGone
from gateway.proxy.budget import RetryBudget
from gateway.proxy.endpoint import Endpoint
from gateway.proxy.outliers import Outliers
from gateway.proxy.queueing import Event, Queue

log = logging.getLogger(__name__)

Selector = Callable[[Exchange, Sequence[Candidate]], Candidate | None]
#: Makes the balancer that a pool asks for.
Build = Callable[[Pool], Balancer]

#: Share of a new measurement in the average latency.
FRESH = 0.1


class PoolRuntime:
    """Members, balancer, queue, ejections and retry budget of one pool in one worker. It survives every change of configuration.

    ``build`` makes a balancer when the pool's choice of one changes. ``event`` makes what a waiter sleeps on (``net.Event``).
    ``notify`` is told of ejections and recoveries found here, as the frames that go to the agent.
    ``plugin_failed`` is told of exceptions in balancers (the balancer is given) and selectors.
    """

    def __init__(
        self,
        pool: Pool,
        build: Build,
        event: Callable[[], Event],
        *,
        notify: Callable[[dict[str, Any]], object] = lambda frame: None,
        plugin_failed: Callable[[object, Exception], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pool = pool
        #: by address; the order is the configuration's
        self.endpoints: dict[str, Endpoint] = {}
        #: members of the best priority that new exchanges may use; the same tuple until that changes
        self.candidates: tuple[Endpoint, ...] = ()
        self.budget = RetryBudget(clock())
        self.outliers = Outliers(pool.health.passive)
        self.notify = notify
        self.plugin_failed = plugin_failed or self._log_failure
        self._clock = clock
        self._queue = Queue(event)
        self._waiters = self._queue.waiters
        self._leaving: dict[str, Endpoint] = {}
        #: what active checks said, also of addresses that a snapshot still on its way will bring
        self._verdicts: dict[str, tuple[bool, str]] = {}
        self._tiers: tuple[tuple[Endpoint, ...], ...] = ()
        self._most = 0
        self._plain = False
        self._weights: tuple[int, ...] = ()
        self._install(build(pool))
        self.configure(pool, build)

    # -- an exchange ---------------------------------------------------------------------------------------------------------------

    def choose(self, exchange: Exchange, tried: Sequence[str] = (), selectors: Sequence[Selector] = ()) -> Endpoint:
        """Return the member for this exchange and count it there; ``release`` it in any case.

        ``tried`` are addresses that have failed this exchange. May wait for a member with room, first come first served. Raises
        GatewayError 503: ``no_member`` (none is left), ``pool_full`` (the queue is full too), ``queue_timeout``.
        """
        budget = self.budget
        if exchange.started >= budget.ends:
            self._turn(exchange.started)
        if not tried:
            budget.requests += 1
        if self._plain and not tried and not selectors:
            try:
                endpoint = self._pick(exchange, self.candidates)
                endpoint.in_flight += 1
                return endpoint  # type: ignore[return-value]  # the candidates are endpoints
            except Exception as error:
                self._replace_balancer(error)
        return self._choose_with_care(exchange, tried, selectors)

    def release(self, endpoint: Endpoint) -> None:
        """The exchange no longer uses the member, however it ended."""
        endpoint.in_flight -= 1
        if self._waiters or endpoint.leaving:
            self._released(endpoint)

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
            self._eject(endpoint, until, reason)
            self.notify({"type": "ejected", "pool": self.pool.name, "address": endpoint.address, "until": until, "reason": reason})

    def may_retry(self, retries: Retries | None = None) -> bool:
        """Take a retry from the pool's budget; False when it is used up. ``retries`` are the route's own settings."""
        settings = retries or self.pool.retries
        return self.budget.take(self._clock(), settings.budget_percent, settings.budget_floor)

    # -- what others know ----------------------------------------------------------------------------------------------------------

    def health(self, address: str, healthy: bool, reason: str) -> None:
        """Take over the verdict of active checks. A member that comes up again is no longer ejected either."""
        self._verdicts[address] = healthy, reason
        endpoint = self.endpoints.get(address)
        if endpoint is None or endpoint.healthy == healthy:
            return
        endpoint.healthy = healthy
        endpoint.note("up" if healthy else "down", reason)
        if healthy and endpoint.ejected_until:
            self.outliers.restore(endpoint, self._clock(), reason)
        self._rebuild()

    def ejected(self, address: str, until: float, reason: str) -> None:
        """Take over an ejection that another worker found; ignored when the pool cannot spare the member."""
        endpoint = self.endpoints.get(address)
        if endpoint is not None and until > self._clock() and self.outliers.may_leave(endpoint, self.endpoints.values()):
            self._eject(endpoint, until, reason)

    def recovered(self, address: str, reason: str = "by another worker") -> None:
        """End an ejection early."""
        endpoint = self.outliers.ejected.get(address)
        if endpoint is not None:
            self.outliers.restore(endpoint, self._clock(), reason)
            self._rebuild()

    def report(self) -> dict[str, Any]:
        """Return what a status page shows of this pool in this worker."""
        self._turn(self._clock())
        requests, retries = self.budget.totals(self._clock())
        return {
            "members": [endpoint.report() for endpoint in (*self.endpoints.values(), *self._leaving.values())],
            "waiting": len(self._waiters),
            "requests_10s": requests,
            "retries_10s": retries,
        }

    # -- configuration -------------------------------------------------------------------------------------------------------------

    def configure(self, pool: Pool, build: Build) -> None:
        """Take over the pool's settings; counts, latencies, health and ejections stay with their addresses."""
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
        self._most = pool.limits.max_in_flight
        if pool.balancer != before.balancer:
            self._install(build(pool))
        self._rebuild()

    def close(self) -> None:
        """The pool is gone: close what is idle, let running exchanges finish, send waiters away."""
        for endpoint in self.endpoints.values():
            self._leave(endpoint)
        self.endpoints = {}
        self._rebuild()

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
        if endpoint.leaving:
            endpoint.leaving = False
            endpoint.note("up", "back in the pool")
        if member.state != endpoint.member.state:
            endpoint.note(member.state, "set by configuration")
            if member.state == "maintenance":
                endpoint.close_idle()
        if member.weight != endpoint.weight:
            endpoint.note(endpoint.state, f"weight {endpoint.weight} -> {member.weight}")
        endpoint.member = member
        endpoint.weight = member.weight
        return endpoint

    def _leave(self, endpoint: Endpoint) -> None:
        endpoint.leaving = True
        endpoint.available = False
        endpoint.close_idle()
        endpoint.note("left", "no longer in the pool")
        self.outliers.forget(endpoint)
        self._verdicts.pop(endpoint.address, None)
        if endpoint.ejected_until:
            endpoint.ejected_until = 0.0
        if endpoint.in_flight:
            self._leaving[endpoint.address] = endpoint

    def _install(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._pick = balancer.pick
        self.candidates = ()

    def _replace_balancer(self, error: Exception) -> None:
        """A balancer that raises costs nobody an exchange: plain round robin takes over until the configuration changes."""
        self.plugin_failed(self._balancer, error)
        self._install(RoundRobin(RoundRobin.Config()))
        self._rebuild()

    @staticmethod
    def _log_failure(plugin: object, error: Exception) -> None:
        log.error("%r failed: %r", plugin, error, exc_info=error)

    # -- who is available ----------------------------------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        """Work out the candidates after a change of membership, state, weight or health."""
        up = [e for e in self.endpoints.values() if e.ready and e.healthy]
        usable = [e for e in up if not e.ejected_until] or up
        for endpoint in self.endpoints.values():
            endpoint.available = False
        for endpoint in usable:
            endpoint.available = True
        usable.sort(key=_priority)
        self._tiers = tuple(tuple(tier) for _, tier in groupby(usable, _priority))
        candidates = self._tiers[0] if self._tiers else ()
        weights = tuple(e.weight for e in candidates)
        if candidates != self.candidates or weights != self._weights:
            self.candidates = candidates
            self._weights = weights
            if candidates:
                self._announce(candidates)
        self._plain = bool(candidates) and not self._most
        if self._waiters:
            self._serve_waiters()

    def _announce(self, candidates: tuple[Endpoint, ...]) -> None:
        try:
            self._balancer.changed(candidates)
        except Exception as error:
            self.plugin_failed(self._balancer, error)
            self._install(RoundRobin(RoundRobin.Config()))
            self.candidates = candidates
            self._balancer.changed(candidates)

    def _eject(self, endpoint: Endpoint, until: float, reason: str) -> None:
        self.outliers.eject(endpoint, until, reason)
        self._rebuild()

    def _turn(self, now: float) -> None:
        """Once a second, by the first exchange in it."""
        self.budget.turn(now)
        due = self.outliers.due(now) if self.outliers.ejected else ()
        for endpoint in due:
            self.outliers.restore(endpoint, now, "ejection is over")
            self.notify({"type": "recovered", "pool": self.pool.name, "address": endpoint.address})
        if due:
            self._rebuild()

    # -- slow path -----------------------------------------------------------------------------------------------------------------

    def _choose_with_care(self, exchange: Exchange, tried: Sequence[str], selectors: Sequence[Selector]) -> Endpoint:
        if self._most and not tried and not selectors and self.candidates and not self._waiters:
            endpoint = self._ask(exchange, self.candidates)
            if endpoint.in_flight < self._most:
                endpoint.in_flight += 1
                return endpoint
        free = self._free(tried)
        if not free:
            endpoint = self._wait(exchange, tried)  # counted already
            for selector in selectors:
                self._opinion(selector, exchange, (endpoint,))
            return endpoint
        for selector in selectors:
            wanted = self._opinion(selector, exchange, free)
            if wanted is not None:
                wanted.in_flight += 1
                return wanted
        endpoint = self._ask(exchange, free)
        endpoint.in_flight += 1
        return endpoint

    def _free(self, tried: Sequence[str]) -> tuple[Endpoint, ...]:
        """Return the members of the first tier that has any with room and not yet tried."""
        most = self._most
        if not tried and not most:
            return self.candidates
        if self._waiters and not next(iter(self._waiters)).tried:
            return ()  # whoever is first in the queue would take any free slot, so there is none
        for tier in self._tiers:
            free = [e for e in tier if (not most or e.in_flight < most) and e.address not in tried]
            if free:
                return tier if len(free) == len(tier) else tuple(free)
        return ()

    def _ask(self, exchange: Exchange, candidates: tuple[Endpoint, ...]) -> Endpoint:
        """Return the balancer's choice; the least busy candidate when the balancer insists on one that is not among them."""
        try:
            endpoint = self._pick(exchange, candidates)
        except Exception as error:
            self._replace_balancer(error)
            endpoint = self._pick(exchange, candidates)
        if candidates is self.candidates or endpoint in candidates:
            return endpoint  # type: ignore[return-value]
        return min(candidates, key=_load)

    def _opinion(self, selector: Selector, exchange: Exchange, candidates: tuple[Endpoint, ...]) -> Endpoint | None:
        try:
            wanted = selector(exchange, candidates)
        except ClientGone:
            raise
        except Exception as error:
            self.plugin_failed(selector, error)
            return None
        endpoint = None if wanted is None else self.endpoints.get(wanted.address)
        if endpoint is None or endpoint is not wanted:
            return None
        if candidates is not self.candidates:
            return endpoint if endpoint in candidates else None
        # The whole tier: no need to look through it, what a plugin remembers from earlier may have changed though.
        return endpoint if endpoint.available and endpoint.member.priority == candidates[0].member.priority else None

    def _wait(self, exchange: Exchange, tried: Sequence[str]) -> Endpoint:
        if not self._hope(tried):
            raise self._no_member(tried)
        limits = self.pool.limits
        if len(self._waiters) >= limits.max_queue:
            detail = f"pool {self.pool.name}: every member is full, {len(self._waiters)} are waiting"
            raise GatewayError(detail, status=503, code="pool_full")
        patience = min(limits.queue_s, exchange.deadline - self._clock()) if exchange.deadline else limits.queue_s
        waiter = self._queue.wait(tried, patience, self.release)
        if waiter.endpoint is not None:
            return waiter.endpoint
        if waiter.hopeless:
            raise self._no_member(tried)
        raise GatewayError(f"pool {self.pool.name}: no member came free in {patience:g} s", status=503, code="queue_timeout")

    def _hope(self, tried: Iterable[str]) -> bool:
        return any(e.available and e.address not in tried for e in self.endpoints.values())

    def _no_member(self, tried: Sequence[str]) -> GatewayError:
        states = ", ".join(f"{e.address} {'tried' if e.address in tried else e.state}" for e in list(self.endpoints.values())[:8])
        more = len(self.endpoints) - 8
        detail = f"pool {self.pool.name}: no member is left: {states or 'it has none'}{f' and {more} more' if more > 0 else ''}"
        return GatewayError(detail, status=503, code="no_member")

    def _released(self, endpoint: Endpoint) -> None:
        if endpoint.leaving:
            if not endpoint.in_flight:
                self._leaving.pop(endpoint.address, None)
        elif endpoint.available and (not self._most or endpoint.in_flight < self._most):
            self._queue.offer(endpoint)

    def _serve_waiters(self) -> None:
        """Give out the room that a change has brought, and send away those who have nothing to wait for."""
        for waiter in list(self._waiters):
            most = self._most
            free = [e for t in self._tiers for e in t if (not most or e.in_flight < most) and e.address not in waiter.tried]
            if free:
                best = free[0].member.priority
                self._queue.give(waiter, min((e for e in free if e.member.priority == best), key=_load))
            elif not self._hope(waiter.tried):
                self._queue.dismiss(waiter)


def _priority(endpoint: Endpoint) -> int:
    return endpoint.member.priority


def _load(endpoint: Endpoint) -> float:
    return (endpoint.in_flight + 1) / endpoint.weight
