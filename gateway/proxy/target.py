"""Target: what the core does on a route, worked out when a snapshot loads. Plugins' part of a route is its plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.proxy.rewrite import rewriter
from gateway.proxy.versions import announcer

if TYPE_CHECKING:
    from gateway.model.route import Api, Route
    from gateway.proxy.upstream import Upstream


class Target:
    """Where a route leads. Immutable; every plan of the route, personal ones too, shares it."""

    __slots__ = ("name", "upstream", "upstreams", "timeouts", "retries", "rewrite", "composition", "announce", "upgrades", "connect")

    def __init__(self, route: Route | None, api: Api | None, upstreams: Mapping[str, Upstream]) -> None:
        #: for logs
        self.name = route.name if route is not None else "-"
        #: ``None`` on routes whose plugins answer, and on composed ones
        self.upstream = upstreams.get(route.pool) if route is not None and route.pool is not None else None
        #: all pools, for compositions
        self.upstreams = upstreams
        #: ``None``: the pool's
        self.timeouts = route.timeouts if route is not None else None
        self.retries = route.retries if route is not None else None
        self.composition = route.compose if route is not None else None
        self.rewrite = rewriter(route) if route is not None else None
        self.announce = announcer(api)
        self.upgrades = frozenset(protocol.lower() for protocol in route.upgrades) if route is not None else frozenset()
        self.connect = route is not None and route.connect
