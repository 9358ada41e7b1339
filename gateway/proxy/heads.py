"""Heads as HTTP/1.1 sends them: what is end-to-end passes, what is hop-by-hop is made anew (RFC 9110, section 7.6.1).

Framing is always ours: whatever a client or backend declared, the length that leaves is the length of what is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.http import writer
from gateway.http.guards import connection_tokens
from gateway.http.headers import Field, Headers, lower_name
from gateway.http.hop import HOP_BY_HOP
from gateway.proxy.forwarded import NAMES
from gateway.proxy.rewrite import authority_of

if TYPE_CHECKING:
    from gateway.http.message import Response
    from gateway.model.exchange import Exchange

_FRAMING = frozenset({b"content-length", b"trailer"})
_REQUEST_OURS = HOP_BY_HOP | _FRAMING | {b"host", b"expect", b"via", b"traceparent", b"x-request-id", *NAMES}
#: what a client needs to answer a proxy's own challenge stays, as nginx and HAProxy have it
_RESPONSE_OURS = (HOP_BY_HOP - {b"proxy-authenticate"}) | _FRAMING | {b"x-request-id"}
#: values of ``Connection`` that name no other field
_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
_NAMES_MOST = 4096
_BODYLESS = frozenset({204, 304})


class _Passes(dict[bytes, bool]):
    """Field name as sent -> whether it passes. Remembered, because asking costs two look-ups a field otherwise."""

    def __init__(self, ours: frozenset[bytes]) -> None:
        self._ours = ours

    def __missing__(self, name: bytes) -> bool:
        passes = lower_name(name) not in self._ours
        if len(self) < _NAMES_MOST:
            self[name] = passes
        return passes


_request_passes = _Passes(_REQUEST_OURS)
_response_passes = _Passes(_RESPONSE_OURS)


def request_head(exchange: Exchange) -> bytes:
    """Return the head that goes to the backend."""
    request = exchange.request
    headers = request.headers
    index = headers.index
    passes = _request_passes
    fields = [field for field in headers.fields if passes[field[0]]]
    if b"connection" in index and index[b"connection"] not in _PLAIN_CONNECTION:
        fields = _without_named(headers, fields)
    body = request.body
    framing = b""
    if body is not None:
        length = len(body) if isinstance(body, bytes) else body.length
        if length is not None:
            framing = b"Content-Length: %d\r\n" % length
        else:
            framing = _trailing(index, writer.CHUNKED)
    elif b"content-length" in index:
        framing = b"Content-Length: 0\r\n"
    if exchange.upgrade and exchange.upgrade != "connect":
        framing += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % exchange.upgrade.encode("latin-1")
    host = index.get(b"host") or authority_of(exchange.attempts[-1])  # HTTP/1.0 clients may not have said
    identity = b"X-Request-ID: %b\r\ntraceparent: %b\r\n" % (exchange.id.encode("latin-1"), exchange.traceparent.encode("ascii"))
    extra = b"Host: %b\r\n%b%b%b" % (host, framing, identity, exchange.forwarded.block)
    return writer.request_head(request.method, writer.origin_form(request.path, request.query), fields, extra)


def response_head(
    exchange: Exchange, response: Response, length: int | None, keep: bool, *, version: str = "1.1", tunnel: bool = False
) -> bytes:
    """Return the head that goes to the client. ``length`` is the content's; ``None`` = chunked (until close on HTTP/1.0)."""
    headers = response.headers
    index = headers.index
    status = response.status
    passes = _response_passes
    fields = [field for field in headers.fields if passes[field[0]]]
    if b"connection" in index and index[b"connection"] not in _PLAIN_CONNECTION:
        fields = _without_named(headers, fields)
    framing = b""
    if tunnel:
        if status == 101:
            framing = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % index.get(b"upgrade", b"")
    elif status == 204 or status == 304 or exchange.request.method == "HEAD":
        declared = index.get(b"content-length")
        if declared is not None and status != 204:
            framing = b"Content-Length: %b\r\n" % declared
        elif length and status != 304:
            framing = b"Content-Length: %d\r\n" % length
    elif length is not None:
        framing = b"Content-Length: %d\r\n" % length
    elif version != "1.0":
        framing = _trailing(index, writer.CHUNKED)
    if not keep:
        framing += writer.CLOSE
    elif version == "1.0":
        framing += writer.KEEP_ALIVE
    extra = b"%bX-Request-ID: %b\r\n" % (framing, exchange.id.encode("latin-1"))
    return writer.response_head(status, response.reason, fields, extra)


def interim_head(response: Response) -> bytes:
    """Return an informational response (1xx), whole."""
    passes = _response_passes
    return writer.response_head(response.status, response.reason, [field for field in response.headers.fields if passes[field[0]]])


def _trailing(index: dict[bytes, bytes], framing: bytes) -> bytes:
    """Announce the trailers that the sender announced."""
    return framing + b"Trailer: %b\r\n" % index[b"trailer"] if b"trailer" in index else framing


def _without_named(headers: Headers, fields: list[Field]) -> list[Field]:
    """Return the fields without those that Connection names."""
    named = connection_tokens(headers.index[b"connection"])
    return [field for field in fields if lower_name(field[0]) not in named]
