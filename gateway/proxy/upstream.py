"""HTTP/1.1 towards a member: kept connections, one request and its response, the body as a stream.

A connection is reused last in, first out, so that surplus ones grow old and are swept. ``Wire.pending`` tells for free
that the backend has closed an idle one; the race that remains (it closes while we write) is why a failure says
whether the request may have been acted on.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from gateway.http.errors import GatewayError, ProtocolError
from gateway.http.message import Response
from gateway.http.parser import Http1Response, Inflow, ResponseParser
from gateway.http.writer import chunk, last_chunk
from gateway.model.listener import HttpLimits
from gateway.net import BODY_OCTETS, ClientGone, Timeout, Wire, connect, monotonic, spawn
from gateway.proxy.heads import request_head
from gateway.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from gateway.http.headers import Headers
    from gateway.model.exchange import Exchange
    from gateway.model.pool import Pool
    from gateway.model.route import Timeouts
    from gateway.proxy.balancing import Endpoint, PoolRuntime

#: RFC 9110, section 9.2.2: doing them twice has the effect of doing them once.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
#: what a backend may send as a head: more than clients may, since it is ours
RESPONSE_LIMITS = HttpLimits(max_line_bytes=16384, max_headers=200, max_header_bytes=131072)


class UpstreamFailure(GatewayError):
    """A member did not answer as it should. ``acted`` is true when it may have acted on the request."""

    status = 502

    def __init__(self, code: str, detail: str = "", *, status: int = 502, acted: bool = True) -> None:
        super().__init__(detail, status=status, code=code)
        self.acted = acted


class Connection:
    """One connection to a member, with its parser."""

    __slots__ = ("wire", "parser", "idle_since", "epoch")

    def __init__(self, wire: Wire, epoch: int) -> None:
        self.wire = wire
        self.parser = ResponseParser(RESPONSE_LIMITS)
        self.idle_since = 0.0
        #: of the endpoint when the connection was made; an older one is not kept
        self.epoch = epoch

    def close(self) -> None:
        """Close at once."""
        self.wire.close()


class Upstream:
    """How the members of a pool are spoken to. Connections live on the endpoints."""

    __slots__ = ("name", "runtime", "timeouts", "retries", "_tls", "_server_name", "_idle_most", "_idle_s")

    def __init__(self, pool: Pool, runtime: PoolRuntime, tls: ssl.SSLContext | None = None) -> None:
        self.name = pool.name
        self.runtime = runtime
        self.configure(pool, tls)

    def configure(self, pool: Pool, tls: ssl.SSLContext | None) -> None:
        """Take over the pool's settings; kept connections stay."""
        self.timeouts = pool.timeouts
        self.retries = pool.retries
        self._tls = tls
        self._server_name = pool.tls.server_name if pool.tls is not None else None
        self._idle_most = pool.limits.idle_connections
        self._idle_s = pool.limits.idle_s

    def fetch(self, exchange: Exchange, endpoint: Endpoint, timeouts: Timeouts) -> Response:
        """Send the exchange's request to the endpoint and return the response head with its body stream.

        The endpoint's in-flight count is given back when the body has ended, or here when this raises. A kept connection
        that turns out to be closed is replaced by a new one where that can do no harm; it says nothing about the member.
        Raises UpstreamFailure, ClientGone, and whatever reading the request body raises.
        """
        connection = _idle(endpoint, exchange.request.method)
        try:
            if connection is not None:
                try:
                    return self._roundtrip(exchange, connection, endpoint, timeouts)
                except UpstreamFailure as failure:
                    connection.close()
                    if failure.code != "reset_before_headers" or not harmless(exchange, failure.acted):
                        raise
            connection = self._connect(endpoint, timeouts)
            return self._roundtrip(exchange, connection, endpoint, timeouts)
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

    def _connect(self, endpoint: Endpoint, timeouts: Timeouts) -> Connection:
        address = endpoint.address
        epoch = endpoint.epoch
        name = (self._server_name or address.rpartition(":")[0].strip("[]")) if self._tls is not None else None
        try:
            return Connection(connect(address, timeouts.connect_s, self._tls, name), epoch)
        except Timeout:
            raise UpstreamFailure("connect_timeout", f"{address}: no connection in {timeouts.connect_s:g} s", status=504, acted=False) from None
        except OSError as error:
            raise UpstreamFailure("connect_failure", f"{address}: {error}", acted=False) from error

    def _roundtrip(self, exchange: Exchange, connection: Connection, endpoint: Endpoint, timeouts: Timeouts) -> Response:
        wire, parser, request = connection.wire, connection.parser, exchange.request
        body = request.body
        upload: _Upload | None = None
        now = monotonic()
        exchange.upstream_started = now
        deadline = now + timeouts.first_byte_s
        if 0.0 < exchange.deadline < deadline:
            deadline = exchange.deadline
        parser.begin("CONNECT" if exchange.upgrade == "connect" else request.method)
        try:
            head = request_head(exchange)
            if body is None:
                wire.send(head)
            elif type(body) is bytes:
                wire.send(head + body)
            else:
                upload = _Upload(exchange, connection, timeouts)
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
            _settle(upload)
            raise UpstreamFailure("first_byte_timeout", f"{endpoint.address}: no response in time", status=504) from None
        except ProtocolError as error:
            _settle(upload)
            raise UpstreamFailure("bad_response", f"{endpoint.address}: {error.detail}") from error
        except OSError as error:
            _settle(upload)
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
            response.body = Tunnel(wire, parser.leftover, timeouts.idle_s, lambda: runtime.release(endpoint))
        elif inflow.complete and upload is None:
            chunks = inflow.chunks
            response.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            response.trailers = inflow.trailers
            if response.keep_alive and not parser.leftover:
                self.keep(endpoint, connection, now)
            else:
                wire.close()
            runtime.release(endpoint)
        else:
            response.body = UpstreamBody(self, exchange, connection, response, endpoint, timeouts, upload)
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


def _settle(upload: _Upload | None) -> None:
    """Stop an upload; raise its own error if that is why the exchange failed."""
    if upload is not None:
        upload.stop()
        if upload.error is not None:
            raise upload.error


class _Upload:
    """Sends a request body that is still arriving, beside the wait for the response: either side may go first."""

    __slots__ = ("_exchange", "_connection", "_timeouts", "_greenlet", "error", "done")

    def __init__(self, exchange: Exchange, connection: Connection, timeouts: Timeouts) -> None:
        self._exchange = exchange
        self._connection = connection
        self._timeouts = timeouts
        self._greenlet: Any = None
        #: why reading from the client failed
        self.error: BaseException | None = None
        self.done = False

    def start(self) -> None:
        self._greenlet = spawn(self._run)

    def stop(self) -> None:
        if not self.done:
            self._greenlet.kill()

    def _run(self) -> None:
        wire, request = self._connection.wire, self._exchange.request
        wire.patience = self._timeouts.idle_s
        body: Any = request.body
        framed = body.length is None
        try:
            while True:
                wire.deadline = 0.0  # the client's own deadline counts while we wait for it
                octets = body.read()
                if not octets:
                    break
                try:
                    wire.send(chunk(octets) if framed else octets)
                except OSError:
                    return  # the backend wants no more; its answer, if any, is being read
            if framed:
                wire.send(last_chunk(body.trailers))
            wire.deadline = monotonic() + self._timeouts.first_byte_s
            self.done = True
        except OSError:
            return
        except (GatewayError, ClientGone, Timeout) as error:
            self.error = error
            wire.abort()  # a cut-off request must not look complete


class UpstreamBody:
    """Content of a response as it comes; ends by giving the connection back, or closing it when something is left."""

    __slots__ = (
        "length", "trailers", "remaining", "wire", "_upstream", "_exchange", "_connection", "_response", "_inflow", "_endpoint", "_idle_s", "_upload", "_open",
    )  # fmt: skip

    def __init__(
        self,
        upstream: Upstream,
        exchange: Exchange,
        connection: Connection,
        response: Http1Response,
        endpoint: Endpoint,
        timeouts: Timeouts,
        upload: _Upload | None,
    ) -> None:
        self._upstream = upstream
        self.trailers: Headers | None = None
        self.wire = connection.wire
        self._exchange = exchange
        self._connection = connection
        self._response = response
        self._inflow: Inflow = response.inflow
        self.length = response.inflow.length
        self._endpoint = endpoint
        self._idle_s = timeouts.idle_s
        self._upload = upload
        self._open = True
        #: octets still to come that no parser needs to see; -1 when the parser finds the end (chunked, until close)
        self.remaining = -1
        if self.length is not None and not self._inflow.complete:
            received, self.remaining = connection.parser.take_over()
            self._inflow.chunks = [received] if received else []

    def ready(self) -> bytes:
        """Return what has already arrived, without waiting."""
        chunks = self._inflow.chunks
        if not chunks:
            return b""
        octets = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        return octets

    def read(self) -> bytes:
        while True:
            octets = self.ready()
            if octets:
                return octets
            if self.remaining == 0 or self._inflow.complete:
                self._finish(reusable=True)
                return b""
            self._receive()

    def deadline(self) -> float:
        """Return until when the next octets must come."""
        deadline = monotonic() + self._idle_s
        return min(deadline, self._exchange.deadline) if self._exchange.deadline else deadline

    def _receive(self) -> None:
        wire = self.wire
        wire.deadline = self.deadline()
        try:
            if self.remaining > 0:
                octets = wire.recv(min(self.remaining, BODY_OCTETS))
                if not octets:
                    raise ConnectionResetError("closed within the content")
                self.remaining -= len(octets)
                self._inflow.chunks.append(octets)
            else:
                octets = wire.recv(BODY_OCTETS)
                if octets:
                    self._connection.parser.feed(octets)
                else:
                    self._connection.parser.eof()
        except Timeout:
            raise self.failure("idle_timeout", "no octets in time") from None
        except (OSError, ProtocolError) as error:
            raise self.failure("cut_off", str(error)) from error

    def failure(self, code: str, detail: str) -> UpstreamFailure:
        """Give the connection up, and return what to raise."""
        self._upstream.runtime.failed(self._endpoint, code)
        self.close()
        return UpstreamFailure(code, f"{self._endpoint.address}: {detail}")

    def _finish(self, reusable: bool) -> None:
        if not self._open:
            return
        self._open = False
        connection, upload = self._connection, self._upload
        self.trailers = self._inflow.trailers
        if upload is not None and not upload.done:
            upload.stop()
            reusable = False
        if reusable and self._response.keep_alive and not connection.parser.leftover:
            self._upstream.keep(self._endpoint, connection, monotonic())
        else:
            connection.close()
        self._upstream.runtime.release(self._endpoint)

    def advance(self, octets: int) -> None:
        """Note that this many octets left the wire without passing through here (``os.splice``)."""
        self.remaining -= octets

    def close(self) -> None:
        self._finish(reusable=False)
