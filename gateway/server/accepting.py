"""Accept connections: one watcher per listening socket, one greenlet per connection."""

from __future__ import annotations

import _socket
import errno
import logging
from typing import TYPE_CHECKING, Any

from gevent.hub import get_hub
from greenlet import greenlet

from gateway.net import READ, Timeout, TlsWire, Wire, monotonic
from gateway.server.connection import ClientConnection
from gateway.server.listening import peer_of
from gateway.server.proxy_protocol import read_header

if TYPE_CHECKING:
    from gateway.proxy.lifecycle import Lifecycle
    from gateway.server.listening import Listening

log = logging.getLogger("gateway.accepting")

#: accepted per wake-up: one lets the other workers of the node have theirs
ACCEPT_MOST = 1
#: how long to leave the socket alone when the process has no descriptors left
PAUSE_S = 0.1
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """Accepts on one socket of a listener."""

    def __init__(self, sock: Any, listening: Listening, lifecycle: Lifecycle) -> None:
        self.listening = listening
        self._lifecycle = lifecycle
        self._sock = sock
        self._hub = get_hub()
        self._watcher = self._hub.loop.io(sock.fileno(), READ)
        self._pause: Any = None

    def start(self) -> None:
        """Begin to accept."""
        self._watcher.start(self._acceptable)

    def stop(self) -> None:
        """Take the connections that wait already, then let go of the socket; the other workers and the master have it still.

        When nobody has, the kernel refuses clients at once, who would otherwise wait for a worker that will not come and be reset.
        """
        while (taken := self._accept()) is not None:
            self._hub.loop.run_callback(greenlet(self._serve, self._hub).switch, *taken)
        self._watcher.stop()
        if self._pause is not None:
            self._pause.stop()
        self._sock.close()

    def _acceptable(self) -> None:
        listening = self.listening
        most = listening.limits.max_connections
        if most and len(listening.connections) >= most:
            self._rest()
            return
        for _ in range(ACCEPT_MOST):
            taken = self._accept()
            if taken is None:
                return
            greenlet(self._serve, self._hub).switch(*taken)

    def _accept(self) -> tuple[int, Any] | None:
        """Return descriptor and address of a client; ``None`` when nobody waits."""
        try:
            taken: tuple[int, Any] = self._sock._accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                log.warning("listener %s: cannot accept: %s", self.listening.name, error)
                self._rest()
            return None
        return taken

    def _rest(self) -> None:
        self._watcher.stop()
        self._pause = self._hub.loop.timer(PAUSE_S)
        self._pause.start(self.start)

    def _serve(self, fd: int, address: Any) -> None:
        """Live through one connection. A greenlet of its own, so nothing may be raised."""
        listening = self.listening
        try:
            sock = _socket.socket(fileno=fd)
            context = listening.tls
            wire: Wire = Wire(sock) if context is None else TlsWire(sock, context, server_side=True)
        except Exception:
            log.exception("listener %s: cannot take a connection", listening.name)
            return
        connection = None
        try:
            peer = peer_of(address)
            if context is not None or listening.proxy_protocol:
                wire.deadline = monotonic() + listening.limits.head_s
                listening.arriving += 1
                try:
                    if listening.proxy_protocol and listening.announces(peer):
                        peer = read_header(wire) or peer
                    if isinstance(wire, TlsWire):
                        wire.handshake()
                finally:
                    listening.arriving -= 1
            connection = ClientConnection(wire, listening, self._lifecycle, peer)
            listening.connections.add(connection)
            connection.serve()
        except (OSError, Timeout, ValueError) as error:
            log.debug("listener %s: %s: %s", listening.name, peer_of(address), error)
        except Exception:
            log.exception("listener %s: connection of %s failed", listening.name, peer_of(address))
        finally:
            if connection is not None:
                listening.connections.discard(connection)
            Wire.close(wire)
