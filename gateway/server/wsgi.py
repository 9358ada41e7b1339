"""The lifecycle as a WSGI application (PEP 3333), to mount in any WSGI server: ``gateway.server.wsgi:application``.

``GATEWAY_CONFIG`` names the configuration; listeners in it mean nothing here. No agent runs beside it, so there are no active checks and
changes need a restart of the server. Connections to backends belong to an event loop and so to a thread: under gevent, where
all requests share one, so do all connections; a threaded server gets a core of its own for each of its threads.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gevent

from gateway.control.load import load
from gateway.control.source import compile_file
from gateway.hooks.manager import Registry, load_plugins
from gateway.http.errors import GatewayError, ProtocolError
from gateway.http.headers import Headers
from gateway.http.hop import HOP_BY_HOP
from gateway.http.message import Request, Response
from gateway.http.target import parse_authority, parse_target
from gateway.model.exchange import Exchange
from gateway.net import BODY_OCTETS, ClientGone, monotonic, start_sweeping
from gateway.observe.recorder import Recorder
from gateway.proxy.errors import TITLES, error_page
from gateway.proxy.forwarded import direct
from gateway.server.core import Core
from gateway.shared.arena import Arena
from gateway.shared.table import SharedTable

if TYPE_CHECKING:
    from gateway.model.snapshot import Snapshot

log = logging.getLogger("gateway.wsgi")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
#: enough for the counters and limits of one process; only what is touched takes memory
ARENA_OCTETS = 1 << 27


class WsgiGateway:
    """A gateway in a WSGI server. The configuration is compiled once, when this is made. Raises ConfigErrors."""

    def __init__(self, config: str) -> None:
        self._registry: Registry = load_plugins()
        self._snapshot = load(compile_file(config, self._registry).document)
        self._arena = Arena(ARENA_OCTETS)
        self._slots = iter(range(1 << 16))
        self._threads = threading.local()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, as PEP 3333 has it."""
        core = self._core()
        peer = environ.get("REMOTE_ADDR") or "unix"
        forwarded = direct(peer, environ.get("wsgi.url_scheme", "http"))
        try:
            request = _request(environ)
        except ProtocolError as error:
            exchange = Exchange(Request(environ["REQUEST_METHOD"], "/"), peer, monotonic())
            core.recorder.identify(exchange, False)
            exchange.code = error.code
            response = exchange.response = error_page(exchange, error.status, error.code)
        else:
            exchange = Exchange(request, forwarded.client, monotonic())
            exchange.listener = "wsgi"
            exchange.forwarded = forwarded
            core.recorder.identify(exchange, False)
            try:
                response = core.lifecycle.run(exchange)
            except ClientGone:
                core.lifecycle.finish(exchange)
                raise OSError("the client went away") from None
        fields = [(name, value) for name, value in response.headers if name.lower().encode("latin-1") not in HOP_BY_HOP]
        fields.append(("X-Request-ID", exchange.id))
        reason = response.reason.decode("latin-1") or TITLES.get(response.status, "")
        start_response(f"{response.status} {reason}", fields)
        return Content(core, exchange, response)

    def _core(self) -> Core:
        core: Core | None = getattr(self._threads, "core", None)
        if core is None:
            recorder = Recorder(self._arena, next(self._slots), "off", _ignore)
            core = Core(self._registry, LocalWorker(self._arena, self._snapshot), recorder, _ignore)
            core.swap(self._snapshot)
            self._threads.sweeping = start_sweeping()
            self._threads.core = core
        return core


class Content:
    """The iterable that a WSGI server sends; ``close`` ends the exchange, whether or not everything was sent."""

    def __init__(self, core: Core, exchange: Exchange, response: Response) -> None:
        self._core = core
        self._exchange = exchange
        self._body = response.body
        self._without = exchange.request.method == "HEAD"

    def __iter__(self) -> Iterator[bytes]:
        body, exchange = self._body, self._exchange
        if self._without:
            return
        if isinstance(body, bytes):
            exchange.bytes_out = len(body)
            if body:
                yield body
            return
        try:
            while octets := body.read():
                exchange.bytes_out += len(octets)
                yield octets
        except GatewayError as error:
            exchange.code = error.code
            raise OSError(error.detail) from error  # the server must break the connection off

    def close(self) -> None:
        """Called by the server in any case."""
        if not isinstance(self._body, bytes):
            self._body.close()
        self._core.lifecycle.finish(self._exchange)


class InputBody:
    """A request's content, read from ``wsgi.input``."""

    def __init__(self, stream: Any, length: int | None) -> None:
        self.length = length
        self.trailers: Headers | None = None
        self._stream = stream
        self._left = length

    def read(self) -> bytes:
        """Return the next octets. Raises ClientGone when they end too early."""
        if self._left is None:
            octets: bytes = self._stream.read(BODY_OCTETS)
            return octets
        if not self._left:
            return b""
        octets = self._stream.read(min(BODY_OCTETS, self._left))
        if not octets:
            raise ClientGone
        self._left -= len(octets)
        return octets

    def close(self) -> None:
        """The server deals with what is left."""


class LocalWorker:
    """What plugins see of their worker, in a WSGI server."""

    index = 0
    count = 1
    log = logging.getLogger("gateway.plugin")

    def __init__(self, arena: Arena, snapshot: Snapshot) -> None:
        self._arena = arena
        self._snapshot = snapshot

    def table(self, name: str, values: int = 2) -> SharedTable:
        """Return the table of this name, shared by the threads of this process."""
        return SharedTable(self._arena, name, values)

    def spawn(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run the function in a greenlet of its own."""
        return gevent.spawn(function, *arguments)

    def snapshot(self) -> Snapshot:
        """Return the configuration."""
        return self._snapshot


def _request(environ: Environ) -> Request:
    """Return the request. Raises ProtocolError for what the server let pass and we do not."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or _rebuilt(environ)
    method = environ["REQUEST_METHOD"]
    path, query, authority, scheme = parse_target(method, raw)
    headers = Headers()
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            headers.add(key[5:].replace("_", "-").title(), value)
    for key, name in (("CONTENT_TYPE", "Content-Type"), ("CONTENT_LENGTH", "Content-Length")):
        if environ.get(key):
            headers.set(name, environ[key])
    if authority is None and "Host" in headers:
        authority = parse_authority(headers.get("Host", "") or "")
    length = int(environ["CONTENT_LENGTH"]) if environ.get("CONTENT_LENGTH") else None
    body = None
    if length or (length is None and environ.get("wsgi.input_terminated")):
        body = InputBody(environ["wsgi.input"], length)
    return Request(
        method, path, query=query, scheme=scheme or environ.get("wsgi.url_scheme", "http"), host=authority.host if authority else "",
        headers=headers, body=body, content_length=length, target=raw.encode("latin-1"),
    )  # fmt: skip


def _rebuilt(environ: Environ) -> str:
    """Return the target as far as it can be known: WSGI servers decode the path, and an encoded slash is lost."""
    path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe="/!$&'()*+,;=:@~-._") or "/"
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _ignore(*_: Any) -> None:
    pass


class _Lazy:
    """Makes the gateway at the first request, so that importing this module needs no configuration."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gateway: WsgiGateway | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            if self._gateway is None:
                self._gateway = WsgiGateway(os.environ["GATEWAY_CONFIG"])
        return self._gateway(environ, start_response)


application = _Lazy()
