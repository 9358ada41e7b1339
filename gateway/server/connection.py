"""A client's HTTP/1.1 connection: read a request, run its exchange, write the response, again.

One greenlet per connection, and requests are answered in the order they came (RFC 9112, section 9.3.2). The head and a small body leave in
one ``send``. Everything a client can do wrong ends here: a ProtocolError is answered and the connection closed, a
slow head, body or reader meets the wire's deadline, a client that leaves cancels the backend's request.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from gateway.http.errors import GatewayError, ProtocolError
from gateway.http.message import Request, Response
from gateway.http.parser import RequestParser
from gateway.http.writer import CONTINUE, chunk, last_chunk
from gateway.model.exchange import Exchange
from gateway.net import BODY_OCTETS, ClientGone, Timeout, Wire, monotonic
from gateway.proxy.errors import error_page
from gateway.proxy.forwarded import direct, relayed
from gateway.proxy.heads import interim_head, response_head
from gateway.proxy.tunnel import Tunnel
from gateway.proxy.upstream_body import UpstreamBody
from gateway.server.splice import SPLICE_LEAST, splice

if TYPE_CHECKING:
    from gateway.http.headers import Headers
    from gateway.http.message import Body
    from gateway.http.parser import Http1Request
    from gateway.proxy.lifecycle import Lifecycle
    from gateway.server.listening import Listening

log = logging.getLogger("gateway.connection")

#: an unread request body up to this size is read away so that the connection can be kept
DRAIN_OCTETS = 65536
#: how long a closing connection waits for the client to take the last response
LINGER_S = 2.0
#: when draining: how long a connection that was in use a moment ago is left open, because a request is likely on its way. Its
#: answer says that the connection ends; a request that meets a closed connection is lost unless the client may send it twice.
LAST_CHANCE_S = 1.0


class ClientConnection:
    """State of one connection. ``busy`` is true while an exchange runs: an idle one is closed at once when draining."""

    __slots__ = ("wire", "parser", "listening", "lifecycle", "peer", "forwarded", "busy", "requests", "greenlet", "_since", "_on_gone")

    def __init__(self, wire: Wire, listening: Listening, lifecycle: Lifecycle, peer: str) -> None:
        self.wire = wire
        self.listening = listening
        self.lifecycle = lifecycle
        self.peer = peer
        self.parser = RequestParser(listening.limits, listening.scheme)
        self.forwarded = direct(peer, listening.scheme)
        self.busy = False
        self.requests = 0
        self.greenlet: Any = None
        #: since when the connection has been idle
        self._since = monotonic()
        wire.patience = listening.body_idle_s
        self._on_gone = self._gone  # one bound method for all exchanges

    def serve(self) -> None:
        """Answer requests until either side ends the connection. Raises nothing."""
        self.greenlet = getcurrent()
        try:
            while self._one():
                pass
        except ProtocolError as error:
            self._refuse(error)
        except (ClientGone, Timeout, OSError):
            pass
        except Exception:
            log.exception("connection of %s failed", self.peer)
        finally:
            self.wire.close()

    def _one(self) -> bool:
        """Read one request and answer it; return whether to go on."""
        parser, wire, listening, lifecycle = self.parser, self.wire, self.listening, self.lifecycle
        if not parser.heads and not self._await_head():
            return False
        self.busy = True
        self.requests += 1
        request = parser.heads.popleft()
        now = monotonic()
        forwarded = self.forwarded
        if listening.trusted_proxies and listening.trusts(self.peer):
            forwarded = relayed(self.peer, listening.scheme, request.headers, listening.trusted_proxies)
            request.scheme = forwarded.scheme
        exchange = Exchange(request, forwarded.client, now)
        exchange.peer = self.peer
        exchange.listener = listening.name
        exchange.forwarded = forwarded
        exchange.interim = self._interim if request.version != "1.0" else None
        if request.upgrade or request.method == "CONNECT":
            exchange.upgrade = request.upgrade or "connect"
        lifecycle.recorder.identify(exchange, forwarded is not self.forwarded)
        inflow = request.inflow
        body: RequestBody | None = None
        if inflow is None:
            wire.on_gone = self._on_gone
        elif inflow.complete and inflow.trailers is None:
            wire.on_gone = self._on_gone
            request.body = b"".join(inflow.chunks)
            exchange.bytes_in = len(request.body)
        else:
            request.body = body = RequestBody(self, request, exchange)
        try:
            response = lifecycle.run(exchange)
            wire.on_gone = None
            return self._respond(exchange, request, response, body)
        except (ClientGone, Timeout, OSError):
            exchange.code = exchange.code or "client_gone"
            raise
        finally:
            wire.on_gone = None
            lifecycle.finish(exchange)
            self._since = exchange.finished
            self.busy = False

    def _await_head(self) -> bool:
        """Wait until a request's head is complete; return False when none will come."""
        parser, wire, listening = self.parser, self.wire, self.listening
        if parser.waiting:
            parser.feed(b"")
            if parser.heads:
                return True
        if not listening.draining:
            wire.deadline = self._since + (listening.keep_alive_s if self.requests else listening.head_s)
        else:
            wire.deadline = monotonic() + min(listening.head_s, LAST_CHANCE_S)
        octets = wire.recv()
        if not octets:
            return False
        try:
            parser.feed(octets)
            if parser.heads:
                return True
            self.busy = True
            wire.deadline = monotonic() + listening.head_s
            while not parser.heads:
                octets = wire.recv()
                if not octets:
                    return False
                parser.feed(octets)
        except ProtocolError:
            if not parser.heads:
                raise
        except Timeout:
            raise ProtocolError("the head did not come in time", status=408, code="head_timeout") from None
        return True

    def _respond(self, exchange: Exchange, request: Http1Request, response: Response, body: RequestBody | None) -> bool:
        """Write the response; return whether the connection can take another request."""
        wire, content, listening = self.wire, response.body, self.listening
        keep = request.keep_alive and not listening.draining and not (0 < listening.max_requests <= self.requests)
        if isinstance(content, Tunnel):
            self._tunnel(exchange, response, content)
            return False
        if body is not None and not body.finished and not (isinstance(content, bytes) and body.drainable):
            keep = False
        if isinstance(content, bytes):
            exchange.bytes_out = length = len(content)
            head = response_head(exchange, response, length, keep, version=request.version)
            wire.send(head + content if length and request.method != "HEAD" else head)
        else:
            keep = self._stream(exchange, request, response, content, keep)
        if keep and body is not None and not body.finished:
            keep = body.drain()
        if not keep:
            self._linger(body)
        elif request.upgrade or request.method == "CONNECT":
            self.parser.resume()  # the other protocol was not switched to, so what follows is HTTP
        return keep

    def _stream(self, exchange: Exchange, request: Http1Request, response: Response, content: Body, keep: bool) -> bool:
        wire = self.wire
        length = content.length
        framed = length is None and request.version != "1.0"
        if length is None and not framed:
            keep = False  # HTTP/1.0: the end of the connection is the end of the content
        head = response_head(exchange, response, length, keep, version=request.version)
        if request.method == "HEAD":
            content.close()
            wire.send(head)
            return keep
        wire.on_gone = self._on_gone
        try:
            if isinstance(content, UpstreamBody):
                octets = content.ready()  # so that a head and what came with it leave together
                exchange.bytes_out = len(octets)
                wire.send(head + (chunk(octets) if framed and octets else octets))
                if content.remaining >= SPLICE_LEAST and type(wire) is Wire and type(content.wire) is Wire:
                    exchange.bytes_out += splice(content, wire)
            else:
                wire.send(head)
            while True:
                octets = content.read()
                if not octets:
                    break
                exchange.bytes_out += len(octets)
                wire.send(chunk(octets) if framed else octets)
            if framed:
                wire.send(last_chunk(content.trailers))
        except (GatewayError, ProtocolError) as error:
            # The head is out: all that can be said now is that this is not the end.
            exchange.code = error.code
            wire.abort()
            return False
        except BaseException:
            content.close()
            wire.abort()  # also frees what a client that does not read has left in the kernel
            raise
        finally:
            wire.on_gone = None
        return keep

    def _tunnel(self, exchange: Exchange, response: Response, tunnel: Tunnel) -> None:
        wire = self.wire
        wire.send(response_head(exchange, response, None, True, tunnel=True))
        exchange.bytes_in, exchange.bytes_out = tunnel.run(wire, self.parser.leftover)

    def _interim(self, response: Response) -> None:
        self.wire.send(interim_head(response))

    def _gone(self) -> None:
        """The client closed while its exchange runs: wake the exchange wherever it waits. Called from the hub."""
        self.greenlet.throw(ClientGone())

    def _refuse(self, error: ProtocolError) -> None:
        """Answer octets that are no request, and close."""
        exchange = Exchange(Request("", "*"), self.peer, monotonic())
        exchange.listener = self.listening.name
        self.lifecycle.recorder.identify(exchange, False)
        exchange.code = error.code
        response = exchange.response = error_page(exchange, error.status, error.code, error.headers)
        try:
            self.wire.patience = LINGER_S
            self._respond_plainly(exchange, response)
            self.lifecycle.finish(exchange)
            self._linger(None)
        except (Timeout, OSError):
            pass

    def _respond_plainly(self, exchange: Exchange, response: Response) -> None:
        content = response.body
        assert isinstance(content, bytes)
        self.wire.send(response_head(exchange, response, len(content), False) + content)

    def _linger(self, body: RequestBody | None) -> None:
        """Read away what the client still sends, for a moment: closing at once would reset the response (RFC 9112, section 9.6)."""
        wire = self.wire
        if body is None and not self.parser.in_head and not wire.pending:
            return
        wire.shutdown_write()
        wire.deadline = monotonic() + LINGER_S
        while wire.recv(BODY_OCTETS):
            pass

    def close_idle(self) -> None:
        """Close the connection unless an exchange runs on it, or may be about to; used when draining."""
        wire, now = self.wire, monotonic()
        if self.busy:
            return
        if now - self._since < LAST_CHANCE_S:
            wire.deadline = min(wire.deadline, now + LAST_CHANCE_S)
        elif wire.alive():
            wire.close()


class RequestBody:
    """Content of a request as it arrives; reading asks the client for more, so an unread body costs no memory."""

    __slots__ = ("length", "trailers", "finished", "_connection", "_request", "_inflow", "_exchange", "_awaited", "_broken")

    def __init__(self, connection: ClientConnection, request: Http1Request, exchange: Exchange) -> None:
        self.length = request.content_length
        self.trailers: Headers | None = None
        #: all of it has been read
        self.finished = False
        self._connection = connection
        self._request = request
        self._inflow: Any = request.inflow
        self._exchange = exchange
        #: the client waits for a 100 (RFC 9110, section 10.1.1)
        self._awaited = request.expect_continue
        self._broken = False

    def read(self) -> bytes:
        """Return the next octets, as ``Body.read``. Raises GatewayError 408 when the client is silent, ClientGone when it has left."""
        if self.finished:
            return b""
        inflow, wire, parser = self._inflow, self._connection.wire, self._connection.parser
        if self._awaited:
            self._awaited = False
            if not inflow.chunks:
                wire.send(CONTINUE)
        while not inflow.chunks:
            if inflow.complete:
                self.finished = True
                self.trailers = inflow.trailers
                wire.on_gone = self._connection._on_gone
                return b""
            wire.deadline = monotonic() + self._connection.listening.body_idle_s
            try:
                octets = wire.recv(BODY_OCTETS)
            except Timeout:
                raise GatewayError("the client sent no content in time", status=408, code="body_timeout") from None
            except OSError:
                raise ClientGone from None
            if not octets:
                raise ClientGone
            try:
                parser.feed(octets)
            except ProtocolError:
                self._broken = True  # where the next request begins is anybody's guess
                raise
        octets = b"".join(inflow.chunks)
        inflow.chunks.clear()
        self._exchange.bytes_in += len(octets)
        return octets

    def close(self) -> None:
        """Give up on the rest; the connection deals with what still arrives."""

    @property
    def drainable(self) -> bool:
        """What is left is small enough to be read away. A client that waits for a 100 may send nothing at all: it is not."""
        return not self._awaited and not self._broken and (self.length is None or self.length <= DRAIN_OCTETS)

    def drain(self) -> bool:
        """Read away what is left; return whether that was all, and not too much."""
        left = DRAIN_OCTETS
        try:
            while left > 0:
                octets = self.read()
                if not octets:
                    return True
                left -= len(octets)
        except GatewayError:
            pass
        return False
