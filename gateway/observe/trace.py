"""One exchange explained hook by hook: what each policy said, how long it took, what it changed, who was tried and why.

Only exchanges that an operator asked for, or that were sampled, have a Trace; the lifecycle then reports every step to
it. Costs are those of a debugger: tens of microseconds. Nothing secret is kept: values of headers and query parameters
whose names speak of keys, tokens, cookies and the like are masked before they are stored.
"""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gateway.hooks.plugin import PolicyInfo, Reject
from gateway.http.headers import Field
from gateway.http.message import Request, Response
from gateway.model.consumer import Consumer
from gateway.model.exchange import Exchange

_SECRET = "auth|cookie|key|token|secret|passw|session|signature|credential"
_SECRET_NAME = re.compile(_SECRET.encode(), re.IGNORECASE)
_SECRET_PARAMETER = re.compile(rf"((?:^|[&;])[^=&;]*(?:{_SECRET})[^=&;]*=)[^&;]+", re.IGNORECASE)
#: traces travel to the agent and wait there: no more of each thing than this
_STEPS_MOST, _CANDIDATES_MOST, _VALUE_MOST = 500, 100, 1000

#: plugin, hook, seconds
Timed = Callable[[str, str, float], object]


class Picture(NamedTuple):
    """What hooks can change of an exchange, at one moment."""

    line: tuple[str, str, str, str]
    fields: tuple[Field, ...]
    content: Any
    status: int
    response_fields: tuple[Field, ...]
    response_content: Any


class Timing:
    """What an exchange has in place of a Trace when only the time of its plugins is measured."""

    def __init__(self, timed: Timed) -> None:
        self._timed = timed

    def picture(self, exchange: Exchange) -> Any:
        """Nothing: no change is looked for."""

    def hook(self, hook: str, owner: PolicyInfo | None, verdict: Any, seconds: float, before: Any, after: Any) -> None:
        """Take note of the time that a policy took."""
        if owner is not None:
            self._timed(owner.plugin, hook, seconds)

    def candidates(self, scored: Iterable[tuple[Any, dict[str, Any]]]) -> None:
        """Nothing is kept."""

    def attempt(self, address: str, outcome: str, seconds: float) -> None:
        """Nothing is kept."""

    def note(self, key: str, value: Any) -> None:
        """Nothing is kept."""

    def finish(self, exchange: Exchange) -> dict[str, Any] | None:
        """Return ``None``: there is nothing to show."""
        return None


class Trace(Timing):
    """The record of one exchange."""

    def __init__(self, exchange: Exchange, why: str, masked: frozenset[bytes], timed: Timed) -> None:
        """``why``: asked or sampled. ``masked``: names of headers, in lower case, beside those that sound secret."""
        super().__init__(timed)
        self._masked = masked
        self._began = time.time()
        self._why = why
        self._request = self._message(exchange.request)
        self._hooks: list[dict[str, Any]] = []
        self._candidates: list[dict[str, Any]] = []
        self._attempts: list[dict[str, Any]] = []
        self._notes: dict[str, Any] = {}

    def picture(self, exchange: Exchange) -> Picture:
        """Return what a hook could change; the lifecycle takes one before and one after."""
        request, response = exchange.request, exchange.response
        return Picture(
            (request.method, request.host, request.path, self._query(request.query)),
            tuple(request.headers.fields),
            request.body,
            response.status if response is not None else 0,
            tuple(response.headers.fields) if response is not None else (),
            response.body if response is not None else None,
        )

    def hook(self, hook: str, owner: PolicyInfo | None, verdict: Any, seconds: float, before: Picture, after: Picture) -> None:
        """Take note of one step: who (``None`` is the core), what it answered, how long it took, what it changed."""
        super().hook(hook, owner, verdict, seconds, before, after)
        if len(self._hooks) < _STEPS_MOST:
            step: dict[str, Any] = {"hook": hook, "us": round(seconds * 1e6, 1), "verdict": _verdict(verdict)}
            if owner is not None:
                step |= {"plugin": owner.plugin, "policy": owner.id, "enforced": owner.enforce}
            changes = self._changes(before, after)
            if changes:
                step["changes"] = changes
            self._hooks.append(step)

    def candidates(self, scored: Iterable[tuple[Any, dict[str, Any]]]) -> None:
        """Take note of the members that could be chosen, each with what the choice looked at (weight, in flight, latency, score)."""
        self._candidates = [{"address": candidate.address} | facts for candidate, facts in list(scored)[:_CANDIDATES_MOST]]

    def attempt(self, address: str, outcome: str, seconds: float) -> None:
        """Take note of one try: a status, or a word for the failure."""
        self._attempts.append({"address": address, "outcome": outcome, "us": round(seconds * 1e6, 1)})

    def note(self, key: str, value: Any) -> None:
        """Keep something else worth knowing, as JSON can hold it."""
        self._notes[key] = value

    def finish(self, exchange: Exchange) -> dict[str, Any]:
        """Return the whole record, as JSON can hold it."""
        on_the_way = exchange.upstream_started or exchange.finished
        consumer, route, member = exchange.consumer, exchange.route, exchange.member
        return {
            "id": exchange.id,
            "time": round(self._began, 3),
            "why": self._why,
            "client": exchange.client,
            "peer": exchange.peer,
            "listener": exchange.listener,
            "revision": exchange.snapshot.revision if exchange.snapshot is not None else 0,
            "method": exchange.request.method,
            "path": exchange.request.path,
            "request": self._request,
            "route": route.name if route is not None else "",
            "api_version": exchange.version,
            "captures": dict(exchange.captures),
            "consumer": consumer.name if consumer is not None else "",
            "groups": sorted(consumer.groups) if consumer is not None else [],
            "credential": exchange.credential,
            "hooks": self._hooks,
            "pool": exchange.pool,
            "member": member.address if member is not None else "",
            "candidates": self._candidates,
            "attempts": self._attempts,
            "sent": self._message(exchange.request),
            "response": self._message(exchange.response) if exchange.response is not None else None,
            "status": exchange.response.status if exchange.response is not None else 499,
            "code": exchange.code,
            "refused_by": exchange.refused_by,
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "total_us": round((exchange.finished - exchange.started) * 1e6),
            "gateway_us": round((on_the_way - exchange.started) * 1e6),
            "upstream_us": round(max(exchange.upstream_first_byte - exchange.upstream_started, 0) * 1e6),
            "traceparent": exchange.traceparent,
            "notes": {key: str(value)[:_VALUE_MOST] for key, value in exchange.notes.items()} | self._notes,
        }

    def _message(self, message: Request | Response) -> dict[str, Any]:
        about: dict[str, Any] = {"headers": self._shown(message.headers.fields), "content": _content(message.body)}
        if isinstance(message, Request):
            return about | {"host": message.host, "path": message.path, "query": self._query(message.query), "scheme": message.scheme}
        return about

    def _changes(self, before: Picture, after: Picture) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for name, old, new in zip(("method", "host", "path", "query"), before.line, after.line, strict=True):
            if old != new:
                changes[name] = [old, new]
        if before.status != after.status:
            changes["status"] = [before.status, after.status]
        for name, gone, come in (
            ("headers", before.fields, after.fields),
            ("response_headers", before.response_fields, after.response_fields),
        ):
            if gone != come:
                removed, added = [field for field in gone if field not in come], [field for field in come if field not in gone]
                changes[name] = {"removed": self._shown(removed), "added": self._shown(added)}
        for name, body, replaced in (
            ("content", before.content, after.content),
            ("response_content", before.response_content, after.response_content),
        ):
            if body is not replaced:
                changes[name] = [_content(body), _content(replaced)]
        return changes

    def _shown(self, fields: Iterable[Field]) -> list[list[str]]:
        return [[name.decode("latin-1"), self._value(name, value)] for name, value in fields]

    def _value(self, name: bytes, value: bytes) -> str:
        if name.lower() in self._masked or _SECRET_NAME.search(name):
            return f"(masked, {len(value)} octets)"
        return value[:_VALUE_MOST].decode("latin-1")

    def _query(self, query: str) -> str:
        return _SECRET_PARAMETER.sub(r"\1(masked)", query)[:_VALUE_MOST]


def _verdict(verdict: Any) -> dict[str, Any] | None:
    """Return what a hook answered, in a few words; ``None`` is no opinion."""
    match verdict:
        case None:
            return None
        case Reject():
            return {"refused": verdict.status, "code": verdict.code, "detail": verdict.detail}
        case Response():
            return {"response": verdict.status}
        case Consumer():
            return {"consumer": verdict.name}
        case BaseException():
            return {"raised": type(verdict).__name__, "detail": str(verdict)[:_VALUE_MOST]}
    address = getattr(verdict, "address", None)
    return {"member": address} if address else {"answer": type(verdict).__name__}


def _content(body: Any) -> dict[str, Any] | None:
    """Return what is known of a content without looking at it."""
    if body is None:
        return None
    return {"octets": len(body)} if isinstance(body, bytes) else {"stream": type(body).__name__, "octets": body.length}
