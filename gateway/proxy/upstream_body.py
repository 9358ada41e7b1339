"""The content of a backend's response as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.http.errors import ProtocolError
from gateway.net import BODY_OCTETS, Timeout, monotonic
from gateway.proxy.failures import UpstreamFailure

if TYPE_CHECKING:
    from gateway.http.headers import Headers
    from gateway.http.parser import Http1Response, Inflow
    from gateway.model.exchange import Exchange
    from gateway.proxy.endpoint import Endpoint
    from gateway.proxy.upload import Upload
    from gateway.proxy.upstream import Upstream
    from gateway.proxy.upstream_connection import Connection
    from gateway.proxy.waits import Waits


class UpstreamBody:
    """Content of a response as it comes; ends by giving the connection back, or closing it when something is left."""

    __slots__ = (
        "length", "trailers", "remaining", "wire",
        "_upstream", "_exchange", "_connection", "_response", "_inflow", "_endpoint", "_idle_s", "_upload", "_open",
    )  # fmt: skip

    def __init__(
        self,
        upstream: Upstream,
        exchange: Exchange,
        connection: Connection,
        response: Http1Response,
        endpoint: Endpoint,
        waits: Waits,
        upload: Upload | None,
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
        self._idle_s = waits.idle_s
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
        """Return the next octets, as ``Body.read``. Raises UpstreamFailure (``idle_timeout``, ``cut_off``)."""
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
        """Give up on the rest, which closes the connection."""
        self._finish(reusable=False)
