"""Send a request's content that is still arriving, beside the wait for the response: either side may go first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.http.errors import GatewayError
from gateway.http.writer import chunk, last_chunk
from gateway.net import ClientGone, Timeout, monotonic, spawn

if TYPE_CHECKING:
    from gateway.model.exchange import Exchange
    from gateway.proxy.upstream_connection import Connection
    from gateway.proxy.waits import Waits


class Upload:
    """One upload, in a greenlet of its own."""

    __slots__ = ("_exchange", "_connection", "_waits", "_greenlet", "error", "done")

    def __init__(self, exchange: Exchange, connection: Connection, waits: Waits) -> None:
        self._exchange = exchange
        self._connection = connection
        self._waits = waits
        self._greenlet: Any = None
        #: why reading from the client failed
        self.error: BaseException | None = None
        self.done = False

    def start(self) -> None:
        """Begin, beside whoever waits for the response."""
        self._greenlet = spawn(self._run)

    def stop(self) -> None:
        """Stop sending what is left."""
        if not self.done:
            self._greenlet.kill()

    def settle(self) -> None:
        """Stop, and raise the upload's own error if that is why the exchange failed."""
        self.stop()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        wire, request = self._connection.wire, self._exchange.request
        wire.patience = self._waits.idle_s
        body: Any = request.body
        framed = body.length is None
        try:
            while True:
                wire.deadline = self._exchange.deadline  # while we wait for the client, its own counts, and that of the whole exchange
                octets = body.read()
                if not octets:
                    break
                try:
                    wire.send(chunk(octets) if framed else octets)
                except OSError:
                    return  # the backend wants no more; its answer, if any, is being read
            if framed:
                wire.send(last_chunk(body.trailers))
            wire.deadline = monotonic() + self._waits.first_byte_s
            self.done = True
        except OSError:
            return
        except (GatewayError, ClientGone, Timeout) as error:
            self.error = error
            wire.abort()  # a cut-off request must not look complete
