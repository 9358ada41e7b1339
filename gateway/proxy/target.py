"""Target: what the core does on a route, worked out when a snapshot loads. Plugins' part of a route is its plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.proxy.rewrite import rewriter
from gateway.proxy.versions import announcer
from gateway.proxy.waits import Waits, waits_of

if TYPE_CHECKING:
    from gateway.model.route import Api, Retries, Route
    from gateway.proxy.upstream import Upstream


class Target:
    """Where a route leads. Immutable; every plan of the route, personal ones too, shares it."""

    __slots__ = (
        "name", "upstream", "upstreams", "waits", "retries", "rewrite", "composition", "announce", "upgrades", "connect", "member_host",
    )  # fmt: skip

    def __init__(self, route: Route | None, api: Api | None, upstreams: Mapping[str, Upstream]) -> None:
        #: for logs
        self.name = route.name if route is not None else "-"
        #: ``None`` on routes whose plugins answer, and on composed ones
        self.upstream = upstreams.get(route.pool) if route is not None and route.pool is not None else None
        #: all pools, for compositions
        self.upstreams = upstreams
        #: ``None``: the pool's
        self.waits = waits_of(route.timeouts) if route is not None and route.timeouts is not None else None
        self.retries = route.retries if route is not None else None
        self.composition = route.compose if route is not None else None
        self.rewrite = rewriter(route) if route is not None else None
        self.announce = announcer(api)
        self.upgrades = frozenset(protocol.lower() for protocol in route.upgrades) if route is not None else frozenset()
        #: the backend is told its own address as Host, which is known only once a member is chosen
        self.member_host = route is not None and route.host == "backend"
        self.connect = route is not None and route.connect

    @classmethod
    def of_part(cls, name: str, upstream: Upstream, waits: Waits, retries: Retries | None) -> Target:
        """Return where one part of a composition leads."""
        target = cls(None, None, {})
        target.name, target.upstream, target.waits, target.retries = name, upstream, waits, retries
        return target
