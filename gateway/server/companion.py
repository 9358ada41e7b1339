"""A worker's end of the socket to the agent: one greenlet that connects, listens, and connects again.

A worker serves without its agent. While the agent is away, what would have been sent is dropped, because ``hello`` tells a
new connection everything that matters.
"""

import logging
import random
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
from gevent.queue import Full, Queue

from gateway.agent import frames, local
from gateway.agent.frames import Message

#: messages that may wait for a slow agent; further ones are dropped
QUEUE_MOST = 1000
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

Handlers = Mapping[str, Callable[[Message], None]]


class Companion:
    """The connection to the agent.

    ``hello`` returns the fields of the first message of each connection (worker, pid, revision, digest, plugins,
    failed_plugins). ``handlers`` maps types of messages (snapshot, delta, health, ejected, recovered, report) to functions that run one
    after the other, in order of arrival; they may wait. Types without a function are ignored. ``greet`` may send more after ``hello``.
    """

    def __init__(
        self, path: Path, hello: Callable[[], Message], handlers: Handlers, log: logging.Logger, greet: Callable[[], None] = lambda: None
    ) -> None:
        self.path = path
        #: True while an agent listens
        self.connected = False
        #: messages dropped because there was no agent, or a slow one
        self.dropped = 0
        self._hello = hello
        self._greet = greet
        self._handlers = handlers
        self._log = log
        self._outgoing: Queue[bytes] = Queue(QUEUE_MOST)
        self._sock: Any = None
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Start connecting. Call it after the fork."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self, patience_s: float = 0.5) -> None:
        """Send what waits, as far as that succeeds within ``patience_s``, and disconnect."""
        with gevent.Timeout(patience_s, False):
            while self.connected and not self._outgoing.empty():
                gevent.sleep(0.01)
        if self._greenlet is not None:
            self._greenlet.kill()
        self._close()

    def send(self, kind: str, **fields: Any) -> bool:
        """Queue a message of this type; returns False when it was dropped. Never waits."""
        return self.post({"type": kind, **fields})

    def post(self, message: Message) -> bool:
        """Queue a message that has its type in it; returns False when it was dropped. Never waits."""
        if self.connected:
            try:
                self._outgoing.put_nowait(frames.encode(message))
            except Full:
                pass
            else:
                return True
        self.dropped += 1
        return False

    def resynchronise(self) -> None:
        """Connect anew, to be sent what differs: a delta did not fit."""
        if self._sock is not None:
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self._sock = local.connect(self.path, gevent.socket.socket)
                self._converse()
                pause_s = FIRST_PAUSE_S
            except (OSError, frames.FrameError) as error:
                self._log.debug("no agent: %s", error)
            finally:
                self._close()
            gevent.sleep(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _converse(self) -> None:
        sock = self._sock
        sock.sendall(frames.encode({"type": "hello", **self._hello()}))
        self._outgoing = Queue(QUEUE_MOST)
        self.connected = True
        writer = gevent.spawn(self._write, sock, self._outgoing)
        self._greet()
        try:
            while (message := frames.receive(sock)) is not None:
                handler = self._handlers.get(message["type"])
                if handler is not None:
                    self._handle(handler, message)
        finally:
            self.connected = False
            writer.kill()

    def _handle(self, handler: Callable[[Message], None], message: Message) -> None:
        try:
            handler(message)
        except Exception:  # a bug in one handler must not cost the worker its agent
            self._log.exception("cannot handle a %s message of the agent", message["type"])

    def _write(self, sock: Any, outgoing: Queue[bytes]) -> None:
        try:
            while True:
                sock.sendall(outgoing.get())
        except OSError:
            self.resynchronise()  # wakes the reader, which connects anew

    def _close(self) -> None:
        self.connected = False
        if self._sock is not None:
            self._sock.close()
            self._sock = None
