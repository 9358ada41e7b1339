"""HTTP/1.1 towards a member: kept connections, one request and its response, the body as a stream.

A connection is reused last in, first out, so that surplus ones grow old and are swept. ``Wire.pending`` tells for free
that the backend has closed an idle one; the race that remains (it closes while we write) is why a failure says
whether the request may have been acted on.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.http.errors import ProtocolError
from gateway.http.message import Response
from gateway.net import Timeout, connect, monotonic
from gateway.proxy.failures import UpstreamFailure
from gateway.proxy.heads import request_head
from gateway.proxy.tunnel import Tunnel
from gateway.proxy.upload import Upload
from gateway.proxy.upstream_body import UpstreamBody
from gateway.proxy.upstream_connection import Connection
from gateway.proxy.waits import Waits, waits_of

if TYPE_CHECKING:
    from gateway.http.parser import ResponseParser
    from gateway.model.exchange import Exchange
    from gateway.model.pool import Pool
    from gateway.proxy.balancing import PoolRuntime
    from gateway.proxy.endpoint import Endpoint

#: RFC 9110, section 9.2.2: doing them twice has the effect of doing them once.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class Upstream:
    """How the members of a pool are spoken to. Connections live on the endpoints."""

    __slots__ = ("name", "runtime", "waits", "retries", "_tls", "_server_name", "_idle_most", "_idle_s", "_connected")

    def __init__(self, pool: Pool, runtime: PoolRuntime, tls: ssl.SSLContext | None, connected: Callable[[str], object]) -> None:
        self.name = pool.name
        self._connected = connected
        self.runtime = runtime
        self.configure(pool, tls)

    def configure(self, pool: Pool, tls: ssl.SSLContext | None) -> None:
        """Take over the pool's settings; kept connections stay."""
        self.waits = waits_of(pool.timeouts)
        self.retries = pool.retries
        self._tls = tls
        self._server_name = pool.tls.server_name if pool.tls is not None else None
        self._idle_most = pool.limits.idle_connections
        self._idle_s = pool.limits.idle_s

    def fetch(self, exchange: Exchange, endpoint: Endpoint, waits: Waits) -> Response:
        """Send the exchange's request to the endpoint and return the response head with its body stream.

        The endpoint's in-flight count is given back when the body has ended, or here when this raises. A kept connection
        that turns out to be closed is replaced by a new one where that can do no harm; it says nothing about the member.
        Raises UpstreamFailure, ClientGone, and whatever reading the request body raises.
        """
        connection = _idle(endpoint, exchange.request.method)
        try:
            if connection is not None:
                try:
                    return self._roundtrip(exchange, connection, endpoint, waits)
                except UpstreamFailure as failure:
                    connection.close()
                    if failure.code != "reset_before_headers" or not harmless(exchange, failure.acted):
                        raise
            connection = self._connect(endpoint, waits)
            return self._roundtrip(exchange, connection, endpoint, waits)
        except BaseException:
            if connection is not None:
                connection.close()
            self.runtime.release(endpoint)
            raise

    def keep(self, endpoint: Endpoint, connection: Connection, now: float) -> None:
        """Take back a connection whose response is complete."""
        idle = endpoint.idle
        if connection.epoch != endpoint.epoch or len(idle) >= self._idle_most:
            connection.close()
            return
        connection.wire.deadline = 0.0
        connection.idle_since = now
        idle.append(connection)

    def sweep(self, now: float) -> None:
        """Close kept connections that are too old or that the member has closed. The oldest lie at the bottom."""
        for endpoint in self.runtime.endpoints.values():
            idle = endpoint.idle
            if idle and (idle[0].idle_since + self._idle_s < now or idle[0].wire.pending):
                stale = [c for c in idle if c.wire.pending or c.idle_since + self._idle_s < now]
                idle[:] = [c for c in idle if c not in stale]
                for connection in stale:
                    connection.close()

    def _connect(self, endpoint: Endpoint, waits: Waits) -> Connection:
        address = endpoint.address
        epoch = endpoint.epoch
        name = (self._server_name or address.rpartition(":")[0].strip("[]")) if self._tls is not None else None
        try:
            wire = connect(address, waits.connect_s, self._tls, name)
        except Timeout:
            detail = f"{address}: no connection in {waits.connect_s:g} s"
            raise UpstreamFailure("connect_timeout", detail, status=504, acted=False) from None
        except OSError as error:
            raise UpstreamFailure("connect_failure", f"{address}: {error}", acted=False) from error
        self._connected(self.name)
        return Connection(wire, epoch)

    def _roundtrip(self, exchange: Exchange, connection: Connection, endpoint: Endpoint, waits: Waits) -> Response:
        wire, parser, request = connection.wire, connection.parser, exchange.request
        body = request.body
        upload: Upload | None = None
        now = monotonic()
        exchange.upstream_started = now
        deadline = now + waits.first_byte_s
        if 0.0 < exchange.deadline < deadline:
            deadline = exchange.deadline
        parser.begin("CONNECT" if exchange.upgrade == "connect" else request.method, exchange.upgrade != "")
        try:
            head = request_head(exchange)
            if body is None:
                wire.send(head)
            elif type(body) is bytes:
                wire.send(head + body)
            else:
                upload = Upload(exchange, connection, waits)
                wire.send(head)
                upload.start()
            wire.deadline = deadline
            response = parser.response
            while response is None:
                octets = wire.recv()
                if not octets:
                    raise ConnectionResetError("closed before the response head")
                parser.feed(octets)
                if parser.interims:
                    _pass_interims(exchange, parser)
                response = parser.response
        except Timeout:
            if upload is not None:
                upload.settle()
            raise UpstreamFailure("first_byte_timeout", f"{endpoint.address}: no response in time", status=504) from None
        except ProtocolError as error:
            if upload is not None:
                upload.settle()
            raise UpstreamFailure("bad_response", f"{endpoint.address}: {error.detail}") from error
        except OSError as error:
            if upload is not None:
                upload.settle()
            raise UpstreamFailure("reset_before_headers", f"{endpoint.address}: {error}") from error
        except BaseException:
            if upload is not None:
                upload.stop()
            raise
        exchange.upstream_first_byte = now = monotonic()
        runtime = self.runtime
        runtime.succeeded(endpoint, now - exchange.upstream_started)
        inflow = response.inflow
        if response.status == 101 or (exchange.upgrade == "connect" and response.status < 300):
            response.body = Tunnel(wire, parser.leftover, waits.idle_s, lambda: runtime.release(endpoint))
        elif inflow.complete and upload is None and inflow.trailers is None:
            chunks = inflow.chunks
            response.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if response.keep_alive and not parser.leftover:
                self.keep(endpoint, connection, now)
            else:
                wire.close()
            runtime.release(endpoint)
        else:
            response.body = UpstreamBody(self, exchange, connection, response, endpoint, waits, upload)
        return response


def harmless(exchange: Exchange, acted: bool) -> bool:
    """Tell whether the request can be sent again: nothing acted on it, or doing so twice is the same as once."""
    if not acted:
        return True
    body = exchange.request.body
    return exchange.request.method in IDEMPOTENT and (body is None or isinstance(body, bytes)) and not exchange.upgrade


def _idle(endpoint: Endpoint, method: str) -> Connection | None:
    idle = endpoint.idle
    while idle:
        connection: Connection = idle.pop()
        # A request that must not be sent twice is worth one system call to learn that the backend has just closed.
        if not connection.wire.pending and (method == "GET" or connection.wire.alive()):
            return connection
        connection.close()
    return None


def _pass_interims(exchange: Exchange, parser: ResponseParser) -> None:
    for interim in parser.interims:
        if exchange.interim is not None and interim.status != 100:  # 100 is answered by us, hop by hop
            exchange.interim(interim)
    parser.interims.clear()
