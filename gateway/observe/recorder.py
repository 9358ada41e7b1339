"""What a worker records of every exchange: identity at its beginning, metrics and a log line at its end.

``identify`` and ``finished`` run once per exchange and together cost some three microseconds. What a route counts is found
once and kept on ``plan.series``; after that counting is adding to numbers whose places are known.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from gateway import net
from gateway.model.observe import Observe
from gateway.model.references import Unresolved, resolve
from gateway.observe import families
from gateway.observe.access_log import AccessLog
from gateway.observe.identity import Identity
from gateway.observe.metrics import OTHER, Metrics
from gateway.observe.trace import Timing, Trace
from gateway.observe.trace_header import NAME, verify

if TYPE_CHECKING:
    from gateway.hooks.plugin import PolicyInfo
    from gateway.model.exchange import Exchange
    from gateway.model.snapshot import Snapshot
    from gateway.shared.arena import Arena

log = logging.getLogger("gateway.observe")

FLUSH_S = 0.25
#: label of what no route matched
UNROUTED = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_HEADER = NAME.lower().encode()
_WAITS, _OWN = families.TOTAL.buckets, families.OWN.buckets
#: where the sum is, counted from the first bucket
_WAITS_SUM, _OWN_SUM = len(_WAITS) + 1, len(_OWN) + 1
_NEVER = 1 << 62


class Series:
    """Where the numbers of one route are."""

    __slots__ = ("route", "requests", "members", "total", "own", "upstream", "bytes_in", "bytes_out")

    def __init__(self, metrics: Metrics, route: str) -> None:
        self.route = route
        #: (listener, method, status) -> place
        self.requests: dict[tuple[str, str, int], int] = {}
        #: address of a member -> place
        self.members: dict[str, int] = {}
        self.total = metrics.at(families.TOTAL, route)
        self.own = metrics.at(families.OWN, route)
        self.upstream = metrics.at(families.UPSTREAM, route)
        self.bytes_in = metrics.at(families.BYTES_IN, route)
        self.bytes_out = metrics.at(families.BYTES_OUT, route)


class Recorder:
    """The records of one worker process."""

    def __init__(self, arena: Arena, slot: int, access_log: str = "off", publish: Callable[[dict[str, Any]], object] | None = None) -> None:
        """``access_log`` is where lines go unless the configuration says: off, - or a path. ``publish`` gets finished traces."""
        self.metrics = Metrics(arena, slot)
        self._values = self.metrics.values
        self._unrouted = Series(self.metrics, UNROUTED)
        self._identity = Identity(Observe().identity)
        self._publish = publish
        self._access_log = access_log
        self._log: AccessLog | None = None
        self._dropped = 0
        self._secret = ""
        self._flusher: Any = None
        self._chance = Random()
        self._observe: Observe | None = None
        self._adopt(Observe())

    # -- once per exchange ----------------------------------------------------------------------------------------------------------

    def identify(self, exchange: Exchange, trusted: bool) -> None:
        """Give a new exchange its id and trace context, and a trace when one is asked for. ``trusted``: a trusted proxy sent it."""
        self._identity.assign(exchange, trusted)
        if _HEADER in exchange.request.headers.index:
            self._asked(exchange)
        self._until_sample -= 1
        if self._until_sample <= 0:
            self._sample(exchange)

    def finished(self, exchange: Exchange) -> None:
        """Count a finished exchange, and log it."""
        values = self._values
        plan = exchange.plan
        series: Series = self._unrouted if plan is None else plan.series or self._series(plan)
        response = exchange.response
        key = (exchange.listener, exchange.request.method, 499 if response is None else response.status)
        at = series.requests.get(key)
        values[self._requests(series, key) if at is None else at] += 1.0

        started = exchange.started
        total = exchange.finished - started
        at = series.total
        values[at + bisect_left(_WAITS, total)] += 1.0
        values[at + _WAITS_SUM] += total
        sent = exchange.upstream_started
        own = sent - started if sent else total
        at = series.own
        values[at + bisect_left(_OWN, own)] += 1.0
        values[at + _OWN_SUM] += own
        if sent:
            first = exchange.upstream_first_byte
            if first:
                waited = first - sent
                at = series.upstream
                values[at + bisect_left(_WAITS, waited)] += 1.0
                values[at + _WAITS_SUM] += waited
            attempts = exchange.attempts
            if attempts:
                address = attempts[-1]
                members = series.members
                values[members[address] if address in members else self._member(series, exchange.pool, address)] += 1.0
                if len(attempts) > 1:
                    self._retried(series, exchange)
        if exchange.bytes_in:
            values[series.bytes_in] += exchange.bytes_in
        if exchange.bytes_out:
            values[series.bytes_out] += exchange.bytes_out
        if exchange.code:
            self.metrics.add(families.ERRORS, series.route, exchange.code)
        if self._log is not None:
            self._log.write(exchange)
        if exchange.trace is not None:
            record = exchange.trace.finish(exchange)
            if record is not None and self._publish is not None:
                self._publish(record)

    # -- now and then ---------------------------------------------------------------------------------------------------------------

    def refused(self, policy: PolicyInfo | None) -> None:
        """Count a refusal; ``None`` is the core's own, which ``finished`` counts by its code."""
        if policy is not None:
            self.metrics.add(families.REFUSALS, policy.plugin, policy.id)

    def shadow_refused(self, policy: PolicyInfo) -> None:
        """Count what a policy in shadow mode would have refused."""
        self.metrics.add(families.SHADOW, policy.plugin, policy.id)

    def plugin_failed(self, policy: PolicyInfo | None, hook: str) -> None:
        """Count an exception of a plugin; ``None`` is the core's own part in a hook."""
        plugin, name = (policy.plugin, policy.id) if policy is not None else ("core", "core")
        self.metrics.add(families.PLUGIN_ERRORS, plugin, name, hook)

    def connected(self, pool: str) -> None:
        """Count a connection made to a member."""
        self.metrics.add(families.CONNECTIONS, pool)

    def timed(self, plugin: str, hook: str, seconds: float) -> None:
        """Count the time that a plugin took in a hook."""
        at = self.metrics.at(families.PLUGIN_TIME, plugin, hook)
        buckets = families.PLUGIN_TIME.buckets
        self._values[at + bisect_left(buckets, seconds)] += 1.0
        self._values[at + len(buckets) + 1] += seconds

    def configure(self, snapshot: Snapshot) -> None:
        """Take the settings of a new configuration."""
        if snapshot.observe != self._observe:
            self._adopt(snapshot.observe)

    def start(self) -> None:
        """Write the access log in the background from now on."""
        self._flusher = net.spawn(self._flush_regularly)

    def flush(self) -> None:
        """Write the access log as far as it is taken."""
        if self._log is not None:
            self._log.flush()
            dropped, self._dropped = self._log.dropped - self._dropped, self._log.dropped
            if dropped:
                self.metrics.add(families.LOG_DROPPED, by=dropped)

    def reopen(self) -> None:
        """Open the access log anew, because it was rotated."""
        if self._log is not None:
            self._log.reopen()

    def close(self) -> None:
        """Write what is left, and stop."""
        if self._flusher is not None:
            self._flusher.kill()
        self.flush()
        self.reopen()

    # -- what these stand on --------------------------------------------------------------------------------------------------------

    def _series(self, plan: Any) -> Series:
        series = plan.series = Series(self.metrics, plan.route.name) if plan.route is not None else self._unrouted
        return series

    def _requests(self, series: Series, key: tuple[str, str, int]) -> int:
        listener, method, status = key
        known = method in _METHODS  # clients may invent methods without end
        at = self.metrics.at(families.REQUESTS, listener, series.route, method if known else OTHER, str(status))
        if known:
            series.requests[key] = at
        return at

    def _member(self, series: Series, pool: str, address: str) -> int:
        at = series.members[address] = self.metrics.at(families.MEMBERS, pool, address)
        return at

    def _retried(self, series: Series, exchange: Exchange) -> None:
        earlier = exchange.attempts[:-1]
        self.metrics.add(families.RETRIES, exchange.pool, by=len(earlier))
        for address in earlier:
            self._values[self._member(series, exchange.pool, address)] += 1.0

    def _asked(self, exchange: Exchange) -> None:
        headers = exchange.request.headers
        value = headers.index[_HEADER]
        headers.discard(_HEADER)  # it is for us, and worth something until it expires
        if self._secret and verify(self._secret, value, exchange.request.method, exchange.request.path):
            exchange.trace = Trace(exchange, "asked", self._masked, self.timed)

    def _sample(self, exchange: Exchange) -> None:
        if exchange.trace is None and self._step:
            draw = self._chance.random() / self._step
            if self._traced_in and draw < 1 / self._traced_in:
                exchange.trace = Trace(exchange, "sampled", self._masked, self.timed)
            elif self._timed_in:
                exchange.trace = Timing(self.timed)
        self._draw_sample()

    def _draw_sample(self) -> None:
        """Decide which exchange is the next sample: at random, because traffic may have a rhythm of its own."""
        self._until_sample = self._chance.randrange(1, 2 * self._step) if self._step else _NEVER

    def _adopt(self, observe: Observe) -> None:
        self._observe = observe
        self._identity.configure(observe.identity)
        self.metrics.most = observe.metrics.max_series
        self._traced_in, self._timed_in = observe.tracing.one_in, observe.metrics.time_plugins_one_in
        self._step = min((often for often in (self._traced_in, self._timed_in) if often), default=0)
        self._draw_sample()
        self._masked = frozenset(name.lower().encode("latin-1", "replace") for name in observe.tracing.masked)
        try:
            self._secret = resolve(observe.tracing.secret) if observe.tracing.secret is not None else ""
        except Unresolved as error:
            self._secret = ""
            log.error("no exchange can be traced by header: %s", error)
        settings = observe.access_log
        if not settings.enabled or (settings.path is None and self._access_log == "off"):
            self.reopen()
            self._log = None
        elif self._log is None:
            self._log, self._dropped = AccessLog(settings, self._access_log), 0
        else:
            self._log.configure(settings)

    def _flush_regularly(self) -> None:
        while True:
            net.sleep(FLUSH_S)
            self.flush()
