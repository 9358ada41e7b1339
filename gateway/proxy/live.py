"""Live: a snapshot made ready to serve in one worker, and the assembler that makes it from the one before."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from inspect import unwrap
from typing import TYPE_CHECKING, Any

from gateway.hooks.plan import Plan, Planner
from gateway.hooks.plugin import PolicyInfo
from gateway.model.snapshot import Snapshot
from gateway.net import Event
from gateway.proxy.balancers import balancer_builder
from gateway.proxy.balancing import PoolRuntime
from gateway.proxy.router import Entry, Router
from gateway.proxy.target import Target
from gateway.proxy.upstream import Upstream
from gateway.proxy.upstream_tls import client_context

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry
    from gateway.hooks.plugin import Worker
    from gateway.model.route import Route

log = logging.getLogger("gateway.live")

#: routes looked at between two calls of ``pause``: well under a millisecond
SLICE = 256


class Live:
    """Everything an exchange needs, reached from one reference. Nothing in it changes; a new configuration is a new Live."""

    __slots__ = ("snapshot", "router", "fallback")

    def __init__(self, snapshot: Snapshot, router: Router, fallback: Plan) -> None:
        self.snapshot = snapshot
        self.router = router
        #: gateway-scope plugins, for exchanges that match no route
        self.fallback = fallback


class Assembler:
    """Makes Live after Live in one worker, keeping what the change did not touch: routes, plugin instances, pools with all they learnt."""

    def __init__(
        self,
        registry: Registry,
        worker: Worker,
        *,
        failed: Callable[[PolicyInfo, str], object],
        shadow_refused: Callable[[PolicyInfo], object],
        notify: Callable[[dict[str, Any]], object] = lambda frame: None,
        connected: Callable[[str], object] = lambda pool: None,
    ) -> None:
        self.planner = Planner(registry, worker, failed, shadow_refused)
        #: by pool; reconfigured in place, so that a change of members touches no route
        self.upstreams: dict[str, Upstream] = {}
        self.live: Live | None = None
        self._build = balancer_builder(registry.balancers)
        self._failed = failed
        self._notify = notify
        self._connected = connected

    def assemble(self, snapshot: Snapshot, pause: Callable[[], object] | None = None) -> Live:
        """Return the snapshot made ready, and take it as the one in force. Raises when it cannot be: then nothing has changed."""
        old = self.live
        earlier = old.snapshot if old is not None else Snapshot()
        contexts = {  # before anything changes: reading keys is what can fail
            name: client_context(pool.tls) for name, pool in snapshot.pools.items() if pool is not earlier.pools.get(name)
        }
        plans = self.planner.compile(snapshot, pause)
        try:
            self._configure_pools(snapshot, contexts)
            entries = []
            changed = set(plans.changed)
            for count, (name, route) in enumerate(snapshot.routes.items(), 1):
                plan = plans[name]
                api = snapshot.apis.get(route.api) if route.api is not None else None
                if name in changed or self._moved(plan, route) or api is not earlier.apis.get(route.api or ""):
                    plan.target = Target(route, api, self.upstreams)
                    entries.append(Entry(route, api, plan))
                if pause is not None and count % SLICE == 0:
                    pause()
            router = (old.router if old is not None else Router()).updated(earlier.routes.keys() - snapshot.routes.keys(), entries, pause)
            plans.unrouted.target = Target(None, None, self.upstreams)
        except BaseException:
            self.planner.discard(plans)
            raise
        self.planner.adopt(plans)
        live = self.live = Live(snapshot, router, plans.unrouted)
        for name in self.upstreams.keys() - snapshot.pools.keys():
            self.upstreams.pop(name).runtime.close()
        return live

    def _moved(self, plan: Plan, route: Route) -> bool:
        """Tell whether a route that stayed the same leads to a pool that was removed and made anew."""
        return plan.target.upstream is not (self.upstreams.get(route.pool) if route.pool is not None else None)

    def _configure_pools(self, snapshot: Snapshot, contexts: Mapping[str, ssl.SSLContext | None]) -> None:
        for name, context in contexts.items():
            pool = snapshot.pools[name]
            upstream = self.upstreams.get(name)
            if upstream is None:
                runtime = PoolRuntime(pool, self._build, Event, notify=self._notify, plugin_failed=self._choice_failed)
                self.upstreams[name] = Upstream(pool, runtime, context, self._connected)
            else:
                upstream.runtime.configure(pool, self._build)
                upstream.configure(pool, context)

    def _choice_failed(self, plugin: Any, error: Exception) -> None:
        """A balancer, or a ``select_backend`` step, has raised."""
        owner = getattr(getattr(unwrap(getattr(plugin, "step", plugin)), "__self__", None), "policy", None)
        if owner is None:
            name = getattr(plugin, "name", type(plugin).__name__)
            owner = PolicyInfo(name, name)
        log.error("plugin %s failed in select_backend", owner.plugin, exc_info=error)
        self._failed(owner, "select_backend")
