"""A tunnel: after an upgrade or CONNECT octets go both ways untouched until one side ends it or neither has spoken for a while."""

from __future__ import annotations

from collections.abc import Callable

from gateway.http.headers import Headers
from gateway.net import BODY_OCTETS, Timeout, Wire, monotonic, spawn


class Tunnel:
    """The backend's side of a tunnel, in the place of a response body."""

    length: int | None = None
    trailers: Headers | None = None

    def __init__(self, wire: Wire, leftover: bytes, idle_s: float, release: Callable[[], None]) -> None:
        self.wire = wire
        self.idle_s = idle_s
        #: octets that came right after the backend's head
        self._leftover = leftover
        self._release = release
        self._spoke = 0.0
        self._moved = [0, 0]

    def run(self, client: Wire, leftover: bytes) -> tuple[int, int]:
        """Carry octets until both sides are done; return how many came from and went to the client. Raises nothing."""
        self._spoke = monotonic()
        try:
            if leftover:
                self.wire.send(leftover)
                self._moved[0] += len(leftover)
            if self._leftover:
                client.send(self._leftover)
                self._moved[1] += len(self._leftover)
            back = spawn(self._pump, self.wire, client, 1)
            self._pump(client, self.wire, 0)
            back.join()
        except (OSError, Timeout):
            pass
        finally:
            self.close()
            client.close()
        return self._moved[0], self._moved[1]

    def _pump(self, source: Wire, sink: Wire, way: int) -> None:
        try:
            while True:
                source.deadline = self._spoke + self.idle_s
                try:
                    octets = source.recv(BODY_OCTETS)
                except Timeout:
                    if monotonic() < self._spoke + self.idle_s:
                        continue  # the other direction is alive
                    break
                if not octets:
                    sink.shutdown_write()  # half-closed: the other direction may still have something to say
                    return
                self._spoke = sink.deadline = monotonic()
                sink.deadline += self.idle_s
                sink.send(octets)
                self._moved[way] += len(octets)
        except (OSError, Timeout):
            pass
        source.close()
        sink.close()

    def read(self) -> bytes:
        """A tunnel has no content; whoever cannot carry one sees an empty body."""
        return b""

    def close(self) -> None:
        """Close the backend's side and give the member back; harmless when done twice."""
        if not self.wire.closed:
            self.wire.close()
        release, self._release = self._release, _nothing
        release()


def _nothing() -> None:
    pass
