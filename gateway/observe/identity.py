"""Identifiers of an exchange: the request id, and the W3C trace context (https://www.w3.org/TR/trace-context/).

Both come from one draw of 192 random bits: where a trace begins here its id is the request id too, so one word finds
the exchange in every log. Make one Identity per process, after the fork.
"""

import os
import re

from gateway.model.exchange import Exchange
from gateway.model.observe import IdentitySettings

#: what an id from elsewhere may look like: it goes into logs, headers and JSON as it is
_GIVEN = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
#: version, trace id, parent id, flags; later versions may append fields (section 3.2.4)
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_SAMPLED = 1
#: digits of a draw: 32 of the trace, 16 of the span. A system call for each would cost more than all the rest.
_DIGITS, _TRACE, _DRAWS = 48, 32, 128


class Identity:
    """Gives exchanges their ``id`` and ``traceparent``."""

    __slots__ = ("_drawn", "_below", "_id_from", "_trace_from")

    def __init__(self, settings: IdentitySettings) -> None:
        self._drawn: list[str] = []
        self.configure(settings)

    def configure(self, settings: IdentitySettings) -> None:
        """Take new settings."""
        #: a new trace whose id ends in digits below these is marked as sampled, as consistent samplers do; empty = all are
        self._below = "" if settings.sampled_percent == 100 else f"{int(settings.sampled_percent / 100 * 2**52):013x}"
        self._id_from = settings.request_id_from
        self._trace_from = settings.trace_from

    def assign(self, exchange: Exchange, trusted: bool) -> None:
        """Set ``exchange.id`` and ``exchange.traceparent``. ``trusted``: the request came from a trusted proxy.

        What a client sent is kept where the settings trust it and it is well formed. A trace context that is not kept
        takes its ``tracestate`` with it (section 3.2).
        """
        drawn = self._drawn.pop() if self._drawn else self._draw()
        exchange.id = trace = drawn[:_TRACE]
        index = exchange.request.headers.index
        if b"x-request-id" in index and _kept(self._id_from, trusted) and _GIVEN.fullmatch(index[b"x-request-id"]):
            exchange.id = index[b"x-request-id"].decode("ascii")
        if b"traceparent" in index:
            parent, flags = self._parent(index[b"traceparent"], trusted)
            if parent:
                exchange.traceparent = f"00-{parent}-{drawn[_TRACE:]}-{flags}"
                return
        if b"tracestate" in index:
            exchange.request.headers.discard(b"tracestate")
        mark = "00" if self._below and trace[-13:] >= self._below else "01"
        exchange.traceparent = f"00-{trace}-{drawn[_TRACE:]}-{mark}"

    def _draw(self) -> str:
        digits = os.urandom(_DRAWS * _DIGITS // 2).hex()
        self._drawn += [digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)]
        return self._drawn.pop()

    def _parent(self, value: bytes, trusted: bool) -> tuple[str, str]:
        """Return the trace id to continue and the flags, or two empty strings."""
        match = _PARENT.fullmatch(value) if _kept(self._trace_from, trusted) else None
        if match is None:
            return "", ""
        version, trace, parent, flags, more = match.groups()
        if version == b"ff" or (version == b"00" and more) or trace == _NO_TRACE or parent == _NO_SPAN:
            return "", ""
        return trace.decode(), "01" if int(flags, 16) & _SAMPLED else "00"


def _kept(trust: str, trusted: bool) -> bool:
    return trust == "anyone" or (trusted and trust == "trusted")
