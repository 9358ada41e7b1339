"""The meeting point of a node's workers: each connects to the agent's socket, is brought up to date and kept so.

Every worker has a queue and a greenlet that empties it, so a worker that does not read delays nobody. One that falls too far
behind is disconnected; it connects anew and is sent what differs.
"""

import logging
import socket
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import gevent
from gevent.event import Event

from gateway.agent import frames, local
from gateway.agent.frames import Message

#: octets that may wait for one worker: a whole snapshot and then some
BACKLOG_MOST = 1 << 28

log = logging.getLogger("gateway.agent")


class Peer:
    """A worker's connection and what the worker said of itself."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.worker = -1
        self.pid = 0
        self.revision = 0
        self.digest = ""
        self.plugins: dict[str, Any] | list[Any] = {}
        self.failed_plugins: dict[str, str] = {}
        #: the configuration it would not take, until it takes one
        self.refused: Message | None = None
        #: how long it took to apply the last one
        self.took_ms = 0.0
        self.status: Message = {}
        self.reported = Event()
        self.closing = False
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._filled = Event()

    def send(self, octets: bytes) -> None:
        """Queue frames; never waits. A peer that reads too slowly is disconnected."""
        self._queue.append(octets)
        self._waiting += len(octets)
        self._filled.set()
        if self._waiting > BACKLOG_MOST and len(self._queue) > 1:
            log.warning("worker %s (pid %s) does not read what the agent sends: disconnected", self.worker, self.pid)
            self.close()

    def write(self) -> None:
        """Send what is queued, for as long as the connection lasts."""
        try:
            while True:
                self._filled.wait()
                self._filled.clear()
                while self._queue:
                    octets = self._queue.popleft()
                    self.sock.sendall(octets)
                    self._waiting -= len(octets)
        except OSError:
            self.close()

    def close(self) -> None:
        """Wake whoever reads or writes; the reader then forgets this peer."""
        self.closing = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Listener(Protocol):
    """What is done with what workers say."""

    def greeted(self, peer: Peer) -> Iterable[bytes]:
        """Return the frames that bring a worker that has just connected up to date."""

    def heard(self, peer: Peer, message: Message) -> None:
        """Take note of a message."""

    def lost(self, peer: Peer) -> None:
        """Take note that a worker went."""


class Hub:
    """The socket and its peers."""

    def __init__(self, path: Path, listener: Listener) -> None:
        self.path = path
        self.peers: list[Peer] = []
        self._listener = listener
        self._server: Any = None
        self._inode = 0
        self._accepting: gevent.Greenlet | None = None

    def start(self) -> None:
        """Listen, in place of whoever did before."""
        self._server = local.listen(self.path)
        self._inode = self.path.stat().st_ino
        self._accepting = gevent.spawn(self._accept)

    def stop(self) -> None:
        """Disconnect every worker, and remove the socket unless a successor's is there already."""
        if self._accepting is not None:
            self._accepting.kill()
            self._server.close()
            try:
                if self.path.stat().st_ino == self._inode:
                    self.path.unlink()
            except OSError:
                pass
        for peer in list(self.peers):
            peer.close()

    def broadcast(self, octets: bytes, but: Peer | None = None) -> None:
        """Queue frames for every worker that has said hello."""
        for peer in self.peers:
            if peer is not but and peer.pid:
                peer.send(octets)

    def ask(self, timeout_s: float) -> list[Peer]:
        """Ask every worker for its status and return those that answered in time, their ``status`` fresh."""
        asked = [peer for peer in self.peers if peer.pid]
        for peer in asked:
            peer.reported.clear()
        self.broadcast(frames.encode({"type": "report"}))
        limit = time.monotonic() + timeout_s
        return [peer for peer in asked if peer.reported.wait(max(limit - time.monotonic(), 0.0))]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError as error:
                log.error("cannot accept a worker's connection: %s", error)
                gevent.sleep(0.1)  # out of descriptors: do not spin
                continue
            gevent.spawn(self._converse, Peer(sock))

    def _converse(self, peer: Peer) -> None:
        writer = gevent.spawn(peer.write)
        self.peers.append(peer)
        try:
            while (message := frames.receive(peer.sock)) is not None:
                self._take(peer, message)
        except (OSError, frames.FrameError) as error:
            if not peer.closing:
                log.warning("lost worker %s (pid %s): %s", peer.worker, peer.pid, error)
        finally:
            self.peers.remove(peer)
            writer.kill()
            peer.sock.close()
            self._listener.lost(peer)

    def _take(self, peer: Peer, message: Message) -> None:
        kind = message["type"]
        if kind == "hello":
            peer.worker, peer.pid = int(message.get("worker", -1)), int(message.get("pid", 0))
            peer.revision, peer.digest = int(message.get("revision", 0)), str(message.get("digest", ""))
            peer.plugins = message.get("plugins") or {}
            peer.failed_plugins = message.get("failed_plugins") or {}
            for octets in self._listener.greeted(peer):
                peer.send(octets)
            return
        if kind == "applied":
            peer.revision, peer.digest = int(message["revision"]), str(message["digest"])
            peer.took_ms, peer.refused = float(message.get("took_ms", 0.0)), None
        elif kind == "refused":
            peer.refused = message
        elif kind == "status":
            peer.status = message
            peer.reported.set()
        self._listener.heard(peer, message)
