"""Requests and responses as every protocol and every plugin sees them. Nothing here knows HTTP/1 framing."""

from collections.abc import Iterable
from typing import Protocol

from mypy_extensions import mypyc_attr

from gateway.http.headers import Headers


class Body(Protocol):
    """Content that streams: pulled one chunk at a time, so that nobody holds more than a chunk.

    ``length`` is the exact number of octets, ``None`` when unknown (chunked, HTTP/2 without content-length).
    ``trailers`` is set, if at all, once ``read`` has returned ``b""``. Whoever wraps a body keeps its ``close``.
    """

    length: int | None
    trailers: Headers | None

    def read(self) -> bytes:
        """Return the next octets, waiting for them; ``b""`` at the end. Raises GatewayError when the peer fails."""

    def close(self) -> None:
        """Give up on the rest; harmless after the end."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Request:
    """A request on its way to a backend. ``transform_request`` hooks may change it; others only read."""

    __slots__ = ("method", "target", "path", "query", "scheme", "host", "version", "headers", "content_length", "body")

    def __init__(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        scheme: str = "http",
        host: str = "",
        headers: Headers | None = None,
        body: "bytes | Body | None" = None,
        content_length: int | None = None,
        target: bytes = b"",
        version: str = "1.1",
    ) -> None:
        self.method = method
        #: as the client sent it; routing and forwarding use ``path`` and ``query``
        self.target = target
        #: normalised (RFC 3986, section 6.2.2): dot segments removed, unreserved characters decoded; always begins with ``/``
        #: (or is ``*`` for OPTIONS, or the authority for CONNECT)
        self.path = path
        #: as sent, without the question mark
        self.query = query
        self.scheme = scheme
        #: lower case, without the port
        self.host = host
        self.version = version
        self.headers = Headers() if headers is None else headers
        #: declared length in octets; ``None`` when chunked or when there is no content (then ``body`` is ``None`` too)
        self.content_length = content_length
        self.body = body


@mypyc_attr(allow_interpreted_subclasses=True)
class Response:
    """A response on its way to the client: from a backend, from a ``respond`` hook or from an error page."""

    __slots__ = ("status", "reason", "headers", "body", "trailers")

    def __init__(
        self,
        status: int,
        headers: "Headers | Iterable[tuple[str, str]] | None" = None,
        body: "bytes | Body" = b"",
        *,
        reason: bytes = b"",
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers if isinstance(headers, Headers) else Headers.of(headers or ())
        #: all of the content, or a stream of it. Replace it, or wrap it, in ``transform_response``.
        self.body = body
        self.trailers: Headers | None = None
