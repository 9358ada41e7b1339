"""Messages into octets: one head, one framing, nothing that a reader could take in two ways."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import quote

from gateway.http.guards import METHODS
from gateway.http.headers import Field, Headers

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SENDABLE = re.compile(r"[\x21\x22\x24-\x7e]*")
_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"


def origin_form(path: str, query: str) -> bytes:
    """Return the target for a backend, escaping what a request line cannot carry."""
    target = f"{path}?{query}" if query else path
    if not _SENDABLE.fullmatch(target):
        target = quote(path, safe="/!$%&'()*+,;=:@-._~") + ("?" + quote(query, safe="/?!$%&'()*+,;=:@-._~[]{}|\"<>^`\\") if query else "")
    return target.encode("ascii")


def request_head(method: str, target: bytes, fields: Iterable[Field], extra: bytes = b"") -> bytes:
    """Return a request head. ``extra``: whole lines, each with its CRLF, sent before the fields. Raises ValueError for a bad method."""
    if method not in METHODS and not _TOKEN.fullmatch(method):
        raise ValueError(f"{method!r} is no method")
    block = b"\r\n".join(map(b": ".join, fields))
    if block:
        block += b"\r\n"
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method.encode(), target, extra, block)


def response_head(status: int, reason: bytes, fields: Iterable[Field], extra: bytes = b"") -> bytes:
    """Return a response head; an empty ``reason`` means the usual one. ``extra`` as in ``request_head``."""
    line = _STATUS_LINES.get(status)
    if line is None or (reason and reason != _REASONS[status]):
        line = b"HTTP/1.1 %d %b\r\n" % (status, reason if _REASON.fullmatch(reason) else b"")
    block = b"\r\n".join(map(b": ".join, fields))
    return b"%b%b%b\r\n\r\n" % (line, extra, block) if block else b"%b%b\r\n" % (line, extra)


def framing(headers: Headers, length: int | None, chunked: bool) -> bytes:
    """Make the fields agree with the content that will follow; returns the line to send as ``extra``.

    ``length`` is the exact size, ``None`` with ``chunked`` off means that no framing field is sent: no content, or content until the
    connection ends. A Content-Length that is there and right stays where it is.
    """
    index = headers.index
    if b"transfer-encoding" in index:
        headers.discard(b"transfer-encoding")
    declared = index.get(b"content-length")
    if chunked:
        if declared is not None:
            headers.discard(b"content-length")
        return CHUNKED
    if length is not None and declared == b"%d" % length:
        return b""
    if declared is not None:
        headers.discard(b"content-length")
    return b"" if length is None else b"Content-Length: %d\r\n" % length


def chunk(data: bytes) -> bytes:
    """Return one chunk; nothing for no octets, because an empty chunk would end the message."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: Headers | None = None) -> bytes:
    """Return the end of chunked content."""
    if trailers is None or not trailers.fields:
        return b"0\r\n\r\n"
    return b"0\r\n" + b"\r\n".join(map(b": ".join, trailers.fields)) + b"\r\n\r\n"
