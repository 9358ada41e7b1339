"""Composition: several backend requests made at once, and one response made of their answers.

Every part is fetched in a greenlet of its own and has a deadline of its own, which lies before the exchange's, so that one
slow part cannot hold up the answer. A required part that fails ends the whole at once; the other greenlets are killed,
which closes their connections.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gateway.defaults.plain_merge import PARTIAL, PlainMerge
from gateway.hooks.plugin import PartResult, PolicyInfo, Reject
from gateway.http.errors import GatewayError
from gateway.http.message import Request, Response
from gateway.model.exchange import Exchange
from gateway.net import Event, Timeout, monotonic, spawn
from gateway.proxy.forward import forward
from gateway.proxy.rewrite import Template
from gateway.proxy.target import Target

if TYPE_CHECKING:
    from gateway.hooks.plan import Plan
    from gateway.http.message import Body
    from gateway.model.route import Composition, Part
    from gateway.proxy.upstream import Upstream

log = logging.getLogger("gateway.composition")

#: (exchange, part, request, deadline) -> head of the answer, its whole content. Raises GatewayError.
FetchPart = Callable[[Exchange, "Part", Request, float], tuple[Response, bytes]]
#: Share of the composition's time that a part has, unless it says otherwise; the rest is for putting the answer together.
SHARE = 0.85
#: What a part's method may carry content for; other parts are asked without the client's content.
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
#: About the client's one request and its one answer. A part answered with 304, 206 or gzip could not be merged.
_NEVER = (b"accept-encoding", b"expect", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range")
_ABOUT_CONTENT = (b"content-length", b"content-type", b"content-encoding", b"content-language", b"content-location", b"digest", b"trailer")
_plain_merge = PlainMerge(PlainMerge.Config(), PolicyInfo("plain_merge", "plain_merge"))


def compose(exchange: Exchange, plan: Plan, first: Callable[..., Any], fetch_part: FetchPart | None = None) -> Response:
    """Fetch the parts of the plan's composition and return the response that ``aggregate`` hooks, or the plain merge, make of them.

    ``first(exchange, plan, hook, steps, *arguments)`` runs hooks. Raises GatewayError: 502 ``part_failed`` or 504
    ``part_timeout`` for a required part, 413 when the client's content is larger than a part may be.
    """
    if exchange.upgrade == "connect":
        raise GatewayError("a composition is no tunnel", status=405, code="connect_refused")
    exchange.upgrade = ""  # any other is ignored (RFC 9110, section 7.8)
    settings: Composition = plan.target.composition
    results = Composer.of(settings, plan.route.match.paths if plan.route is not None else ()).run(exchange, fetch_part or fetch)
    response: Response | None = first(exchange, plan, "aggregate", plan.aggregate, results) if plan.aggregate else None
    if response is None:
        response = _plain_merge.aggregate(exchange, results)
    if isinstance(response, Reject) and not response.body:
        error = GatewayError(response.detail, status=response.status, code=response.code)
        error.headers = response.headers
        raise error
    missing = [result.name for result in results if result.error]
    also = response.headers.get(PARTIAL)
    if missing or also:
        names = dict.fromkeys(missing + [name.strip() for name in (also or "").split(",") if name.strip()])
        response.headers.set(PARTIAL, ", ".join(names))
        response.headers.set("Cache-Control", "no-store")  # the next answer may be complete
        exchange.code = "partial"
    return response


class Composer:
    """A composition made ready: paths of parts compiled, deadlines worked out."""

    def __init__(self, settings: Composition, paths: Sequence[str]) -> None:
        self._settings = settings
        self._wants_content = any(part.method in _WITH_CONTENT for part in settings.parts)
        self._parts = [
            (part, Template(part.path, paths) if part.path else None, part.timeout_s or SHARE * settings.timeout_s)
            for part in settings.parts
        ]

    @staticmethod
    @lru_cache(1024)
    def of(settings: Composition, paths: tuple[str, ...]) -> Composer:
        """Return the composer of a route; the same settings give the same object."""
        return Composer(settings, paths)

    def run(self, exchange: Exchange, fetch_part: FetchPart) -> list[PartResult]:
        """Return a result for each part, in order. Raises GatewayError when a required one has failed."""
        content = _content(exchange.request.body, self._settings.max_part_bytes) if self._wants_content else b""
        requests = [_request(exchange, part, template, content) for part, template, _ in self._parts]
        began = exchange.upstream_started = monotonic()
        end = began + self._settings.timeout_s
        if 0.0 < exchange.deadline < end:
            end = exchange.deadline
        deadlines = [min(began + seconds, end) for _, _, seconds in self._parts]
        results: dict[int, PartResult] = {}
        running: dict[int, Any] = {}
        news = Event()

        def run_part(index: int) -> None:
            part = self._parts[index][0]
            results[index] = _result(exchange, part, requests[index], deadlines[index], fetch_part, self._settings.max_part_bytes)
            running.pop(index, None)
            news.set()

        try:
            for index in range(len(requests)):
                running[index] = spawn(run_part, index)
            while running and not any(result.error and result.required for result in results.values()):
                now = monotonic()
                for index in [index for index in running if deadlines[index] <= now]:
                    running.pop(index).kill(block=False)
                    results[index] = PartResult(self._parts[index][0].name, self._parts[index][0].required, None, b"", "timeout")
                if running:
                    news.clear()
                    news.wait(min(deadlines[index] for index in running) - now)
        finally:  # also when the client has gone
            for greenlet in running.values():
                greenlet.kill(block=False)
        exchange.upstream_first_byte = monotonic()
        for _, result in sorted(results.items()):
            if result.error and result.required:
                late = result.error == "timeout"
                detail = f"part {result.name}: {result.error}"
                raise GatewayError(detail, status=504 if late else 502, code="part_timeout" if late else "part_failed")
        return [results[index] for index in range(len(requests))]


def _result(exchange: Exchange, part: Part, request: Request, deadline: float, fetch_part: FetchPart, most: int) -> PartResult:
    """Fetch a part; whatever goes wrong becomes a word."""
    try:
        response, content = fetch_part(exchange, part, request, deadline)
        error = "" if 200 <= response.status < 300 else f"status_{response.status}"
        if len(content) > most:
            error = "too_large"
        return PartResult(part.name, part.required, response, content, error)
    except GatewayError as failure:
        error = "timeout" if failure.code.endswith("_timeout") else failure.code
        log.info("%s part %s: %s %s", exchange.id, part.name, failure.code, failure.detail)
    except Timeout:
        error = "timeout"
    except Exception as fault:  # a fault of ours: the other parts go on, the operator must know
        error = "internal_error"
        log.error("%s part %s", exchange.id, part.name, exc_info=fault)
    return PartResult(part.name, part.required, None, b"", error)


def _request(exchange: Exchange, part: Part, template: Template | None, content: bytes) -> Request:
    """Return the request of a part: the client's headers, and its query unless the part's path has one of its own."""
    whole = exchange.request
    path, query = (whole.path if whole.path != "*" else "/", None) if template is None else template.fill(exchange)
    headers = whole.headers.copy()
    carries = part.method in _WITH_CONTENT
    for name in _NEVER if carries else _NEVER + _ABOUT_CONTENT:
        if name in headers.index:
            headers.discard(name)
    headers.add("Accept-Encoding", "identity")
    return Request(
        part.method,
        path,
        query=whole.query if query is None else query,
        scheme=whole.scheme,
        host=whole.host,
        headers=headers,
        body=content if carries else None,
        content_length=len(content) if carries else None,
    )


def _content(body: bytes | Body | None, most: int) -> bytes:
    """Return the client's content, which several parts may want."""
    if body is None or isinstance(body, bytes):
        content = body or b""
    else:
        content = _read(body, most)
    if len(content) > most:
        raise GatewayError(f"content above {most} bytes", status=413, code="content_too_large")
    return content


def _read(body: Body, most: int) -> bytes:
    """Read a body, giving up one octet above what is allowed."""
    chunks, size = [], 0
    try:
        while size <= most:
            octets = body.read()
            if not octets:
                break
            chunks.append(octets)
            size += len(octets)
    finally:
        body.close()
    return b"".join(chunks)


def fetch(exchange: Exchange, part: Part, request: Request, deadline: float) -> tuple[Response, bytes]:
    """Fetch a part from its pool, with the pool's balancer, health, limits and retries. Raises GatewayError."""
    plan: Plan = exchange.plan
    upstream = plan.target.upstreams.get(part.pool)
    if upstream is None:
        raise GatewayError(f"there is no pool {part.pool}", status=503, code="no_backend")
    asked = Exchange(request, exchange.client, monotonic())
    for name in _SHARED:
        setattr(asked, name, getattr(exchange, name))
    asked.deadline = deadline
    try:
        response = forward(asked, _PartPlan(part.name, plan, upstream))  # type: ignore[arg-type]
        body = response.body
        content = body if isinstance(body, bytes) else _read(body, plan.target.composition.max_part_bytes)
    finally:
        exchange.attempts = (*exchange.attempts, *asked.attempts)
    return response, content


#: What a part's exchange has in common with the client's.
_SHARED = (
    "id", "peer", "listener", "route", "plan", "snapshot", "consumer", "credential", "captures", "version", "trace", "traceparent",
    "forwarded",
)  # fmt: skip


class _PartPlan:
    """As much of a plan as forwarding a part needs."""

    __slots__ = ("target", "select_backend")

    def __init__(self, name: str, plan: Plan, upstream: Upstream) -> None:
        target = plan.target
        waits = (target.waits or upstream.waits).without_total()  # a part's deadline is its own
        self.target = Target.of_part(f"{target.name} part {name}", upstream, waits, target.retries)
        self.select_backend = plan.select_backend
