"""A pool as one worker runs it: which member gets an exchange, and what is known of each.

The plain case - no limit per member, first try, no ``select_backend`` policy - is one comparison, one call of the balancer and two
additions. All else takes the slow path: members already tried, full members and the queue behind them, tiers of priority.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gateway.defaults.round_robin import RoundRobin
from gateway.hooks.plugin import Balancer, Candidate
from gateway.http.errors import GatewayError
from gateway.model.exchange import Exchange
from gateway.model.pool import Pool
from gateway.model.route import Retries
from gateway.net import ClientGone
from gateway.proxy.budget import RetryBudget
from gateway.proxy.endpoint import Endpoint
from gateway.proxy.membership import Membership
from gateway.proxy.queueing import Event, Queue

log = logging.getLogger(__name__)

Selector = Callable[[Exchange, Sequence[Candidate]], Candidate | None]
#: Makes the balancer that a pool asks for.
Build = Callable[[Pool], Balancer]


class PoolRuntime(Membership):
    """Members, balancer, queue and retry budget of one pool in one worker. It survives every change of configuration.

    ``build`` makes a balancer when the pool's choice of one changes. ``event`` makes what a waiter sleeps on (``net.Event``).
    ``notify`` gets the frames about ejections for the agent. ``plugin_failed`` is told of what raises: a balancer or a selector.
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
        super().__init__(pool, notify, clock)
        self.budget = RetryBudget(clock())
        self.plugin_failed = plugin_failed or _log_failure
        self._queue = Queue(event)
        self._waiters = self._queue.waiters
        self._most = 0
        self._plain = False
        self._install(build(pool))
        self.configure(pool, build)

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

    def may_retry(self, retries: Retries | None = None) -> bool:
        """Take a retry from the pool's budget; False when it is used up. ``retries`` are the route's own settings."""
        settings = retries or self.pool.retries
        return self.budget.take(self._clock(), settings.budget_percent, settings.budget_floor)

    def report(self) -> dict[str, Any]:
        """Return what a status page shows of this pool in this worker."""
        now = self._clock()
        self._turn(now)
        requests, retries = self.budget.totals(now)
        return {
            "members": [endpoint.report(now) for endpoint in (*self.endpoints.values(), *self._leaving.values())],
            "waiting": len(self._waiters),
            "requests_10s": requests,
            "retries_10s": retries,
        }

    def configure(self, pool: Pool, build: Build) -> None:
        """Take over the pool's settings. Its balancer is made anew when the choice of one has changed."""
        before = self.pool
        self._take_over(pool)
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

    # -- the balancer --------------------------------------------------------------------------------------------------------------

    def _install(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._pick = balancer.pick
        self.candidates = ()  # so that it hears of them

    def _replace_balancer(self, error: Exception) -> None:
        """A balancer that raises costs nobody an exchange: round robin stands in until another is configured."""
        self.plugin_failed(self._balancer, error)
        self._install(RoundRobin(RoundRobin.Config()))
        self._rebuild()

    def _announce(self, candidates: tuple[Endpoint, ...]) -> None:
        try:
            self._balancer.changed(candidates)
        except Exception as error:
            self.plugin_failed(self._balancer, error)
            self._install(RoundRobin(RoundRobin.Config()))
            self.candidates = candidates
            self._balancer.changed(candidates)

    def _rebuilt(self) -> None:
        self._plain = bool(self.candidates) and not self._most
        if self._waiters:
            self._serve_waiters()

    def _turn(self, now: float) -> None:
        """Once a second, by the first exchange in it."""
        self.budget.turn(now)
        if self.outliers.ejected:
            self._end_ejections(now)

    # -- slow path -----------------------------------------------------------------------------------------------------------------

    def _choose_with_care(self, exchange: Exchange, tried: Sequence[str], selectors: Sequence[Selector]) -> Endpoint:
        if not selectors and self.candidates and not self._waiters:
            # Few are full or tried: what the balancer says among all is mostly right, and saves a look at each.
            endpoint = self._ask(exchange, self.candidates)
            if endpoint.address not in tried and (not self._most or endpoint.in_flight < self._most):
                endpoint.in_flight += 1
                return endpoint
        free = self._free(tried)
        if free and selectors:
            for selector in selectors:
                wanted = self._opinion(selector, exchange, free)
                if wanted is not None:
                    wanted.in_flight += 1
                    return wanted
            free = self._free(tried)  # a selector may have waited, and the world moved on
        if free:
            endpoint = self._ask(exchange, free)
            endpoint.in_flight += 1
            return endpoint
        endpoint = self._wait(exchange, tried)  # counted already
        try:
            for selector in selectors:  # there is no choice any more, but it should know
                self._opinion(selector, exchange, (endpoint,))
        except BaseException:
            self.release(endpoint)
            raise
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
        if endpoint is None or endpoint is not wanted or not endpoint.available or (self._most and endpoint.in_flight >= self._most):
            return None  # plugins remember members of earlier, and may have waited since they were asked
        if candidates is not self.candidates:
            return endpoint if endpoint in candidates else None
        return endpoint if endpoint.member.priority == candidates[0].member.priority else None  # the whole tier: no need to search it

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

    def _hope(self, tried: Sequence[str]) -> bool:
        return any(endpoint.address not in tried for tier in self._tiers for endpoint in tier)

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
        tiers = [deque(tier) for tier in self._tiers]
        for waiter in list(self._waiters):
            endpoint = _in_turn(tiers, waiter.tried, self._most)
            if endpoint is not None:
                self._queue.give(waiter, endpoint)
            elif not self._hope(waiter.tried):
                self._queue.dismiss(waiter)


def _in_turn(tiers: list[deque[Endpoint]], tried: Sequence[str], most: int) -> Endpoint | None:
    """Return the next member with room that was not tried; the tiers are turned, and lose those who are full."""
    for tier in tiers:
        for _ in range(len(tier)):
            endpoint = tier[0]
            if most and endpoint.in_flight >= most:
                tier.popleft()
                continue
            tier.rotate(-1)
            if endpoint.address not in tried:
                return endpoint
    return None


def _load(endpoint: Endpoint) -> float:
    return (endpoint.in_flight + 1) / endpoint.weight


def _log_failure(plugin: object, error: Exception) -> None:
    log.error("%r failed: %r", plugin, error, exc_info=error)
