"""Sockets as the hot path wants them: raw, non-blocking, with one read watcher that stays started.

Theory. A request on a kept-alive connection costs two system calls per side (``recv``, ``send``) and nothing else: the
read watcher is registered with the event loop once per connection, so no ``epoll_ctl`` is paid per wait, and a waiter
waits *before* it reads, so no ``EAGAIN`` is paid either. gevent's own socket objects start and stop a watcher and make
a Waiter for each wait, which measured 10 µs a request more. When octets (or the end) arrive with nobody waiting, the
watcher is stopped and ``pending`` says so: for an idle pooled connection that is a free liveness test.

Deadlines are attributes. One timer sweeps all waiting wires four times a second and throws Timeout into those that
are late, so that a request arms no timer; a deadline is kept to within ``SWEEP_S``.

One long file, because wires, their sweep, TLS over them and connecting share the hub's innards, and nobody else should.
"""

import _socket
import errno
import os
import ssl
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event
from gevent.hub import get_hub
from greenlet import getcurrent, greenlet

monotonic = time.monotonic
spawn = gevent.spawn
sleep = gevent.sleep

#: how often deadlines are looked at
SWEEP_S = 0.25
READ = 1
WRITE = 2
#: for heads; bodies are read in larger pieces
HEAD_OCTETS = 16384
BODY_OCTETS = 131072
_MSG_PEEK = _socket.MSG_PEEK
_CONNECTING = {errno.EINPROGRESS, errno.EWOULDBLOCK}

__all__ = ["ClientGone", "Event", "TlsWire", "Timeout", "Wire", "connect", "sleep", "spawn", "start_sweeping"]


class Timeout(Exception):
    """A wire's deadline passed while somebody waited on it."""


class ClientGone(Exception):
    """The client closed its connection before its response was complete."""


_open: set["Wire"] = set()


class Wire:
    """A connected stream socket. At most one greenlet reads and one writes.

    ``deadline`` (``time.monotonic()``; ``0.0`` = none) bounds waits for reading. A wait for writing is bounded by ``patience``
    seconds, counted anew whenever the peer has taken something. ``pending`` is true when octets or the end
    of the stream arrived while nobody was reading. ``on_gone`` is called, from the hub, when the peer closes while nobody
    is reading.
    """

    __slots__ = (
        "sock", "fd", "deadline", "patience", "pending", "on_gone", "closed",
        "_hub", "_reader", "_writer", "_reading", "_writing", "_recv", "_send",
    )  # fmt: skip

    def __init__(self, sock: Any) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.deadline = 0.0
        self.patience = 60.0
        self.pending = False
        self.on_gone: Callable[[], None] | None = None
        self.closed = False
        self._reading: Any = None
        self._writing: Any = None
        self._recv = sock.recv
        self._send = sock.send
        hub = get_hub()
        self._hub = greenlet.switch.__get__(hub)  # Hub.switch looks for a ``switch_out`` that our greenlets do not have
        self._writer: Any = None
        self._reader = hub.loop.io(self.fd, READ)
        self._reader.start(self._readable)
        _open.add(self)

    def recv(self, size: int = HEAD_OCTETS) -> bytes:
        """Wait for octets and return them; ``b""`` at the end of the stream. Raises Timeout, OSError."""
        while True:
            if self.pending:
                self.pending = False
                self._reader.start(self._readable)
            else:
                self._reading = getcurrent()
                try:
                    self._hub()
                finally:
                    self._reading = None
            try:
                return self._recv(size)
            except BlockingIOError:
                continue

    def send(self, octets: bytes) -> None:
        """Write everything, waiting while the peer is slow. Raises Timeout, OSError."""
        try:
            sent = self._send(octets)
        except BlockingIOError:
            sent = 0
        if sent != len(octets):
            self._send_rest(memoryview(octets)[sent:])

    def _send_rest(self, rest: memoryview) -> None:
        while rest:
            self.deadline = monotonic() + self.patience
            self.wait_writable()
            try:
                sent = self._send(rest)
            except BlockingIOError:
                continue
            rest = rest[sent:]

    def wait_readable(self) -> None:
        """Wait until something can be read, without reading it (what ``os.splice`` needs)."""
        if self.pending:
            self.pending = False
            self._reader.start(self._readable)
            return
        self._reading = getcurrent()
        try:
            self._hub()
        finally:
            self._reading = None

    def wait_writable(self) -> None:
        """Wait until something can be written."""
        if self._writer is None:
            self._writer = get_hub().loop.io(self.fd, WRITE)
        self._writing = getcurrent()
        self._writer.start(self._writable)
        try:
            self._hub()
        finally:
            self._writing = None
            self._writer.stop()

    def rearm(self) -> None:
        """Forget that something was readable: an unconnected socket counts as readable, a connected one again only with octets."""
        if self.pending:
            self.pending = False
            self._reader.start(self._readable)

    def alive(self) -> bool:
        """Ask the kernel whether the peer still holds its end and has sent nothing. One system call."""
        if self.pending or self.closed:
            return False
        try:
            self.sock.recv(1, _MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def peek(self, size: int) -> bytes:
        """Wait for octets and return up to ``size`` of them, leaving them to be read. Raises ConnectionResetError at the end."""
        Wire.wait_readable(self)  # of the socket itself, below any TLS
        octets: bytes = self.sock.recv(size, _MSG_PEEK)
        if not octets:
            raise ConnectionResetError("closed before anything came")
        return octets

    def peek_until(self, mark: bytes, most: int) -> bytes:
        """Return the octets up to and with ``mark``, leaving them to be read. Raises ValueError when it is not within ``most``."""
        seen = 0
        while True:
            octets = self.peek(most)
            end = octets.find(mark)
            if end >= 0:
                return octets[: end + len(mark)]
            if len(octets) >= most:
                raise ValueError(f"no {mark!r} within {most} octets")
            if len(octets) == seen:
                sleep(SWEEP_S / 10)  # what came is not enough, and the kernel calls it readable all the same
                if 0.0 < self.deadline < monotonic():
                    raise Timeout
            seen = len(octets)

    def take(self, size: int) -> bytes:
        """Read exactly ``size`` octets from the socket itself, below any TLS. Raises ConnectionResetError when they end early."""
        octets = b""
        while len(octets) < size:
            more = Wire.recv(self, size - len(octets))
            if not more:
                raise ConnectionResetError("closed within a header")
            octets += more
        return octets

    def shutdown_write(self) -> None:
        """Tell the peer that nothing more will come."""
        try:
            self.sock.shutdown(_socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        """Close the socket; whoever waits on it is woken with an OSError."""
        if self.closed:
            return
        self.closed = True
        _open.discard(self)
        self._reader.stop()
        self._reader.close()
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
        self.sock.close()
        for waiter in (self._reading, self._writing):
            if waiter is not None and waiter is not getcurrent():
                get_hub().loop.run_callback(_throw_closed, self, waiter)

    def abort(self) -> None:
        """Close so that the peer sees a reset, not a regular end: what was cut short must not look complete."""
        try:
            self.sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        except OSError:
            pass
        self.close()

    def _readable(self) -> None:
        waiter = self._reading
        if waiter is not None:
            waiter.switch()
            return
        self.pending = True
        self._reader.stop()
        if self.on_gone is not None and self._at_end():
            self.on_gone()

    def _at_end(self) -> bool:
        try:
            return self.sock.recv(1, _MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _writable(self) -> None:
        if self._writing is not None:
            self._writing.switch()

    def expire(self) -> None:
        """Throw Timeout into whoever waits. Called from the hub."""
        for waiter in (self._reading, self._writing):
            if waiter is not None:
                waiter.throw(Timeout())


class TlsWire(Wire):
    """A wire that speaks TLS through memory buffers, so that it waits exactly as a plain one does.

    ``handshake`` must have returned before anything else is used.
    """

    __slots__ = ("tls", "_in", "_out")

    def __init__(self, sock: Any, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None) -> None:
        super().__init__(sock)
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=server_side, server_hostname=server_name)

    def handshake(self) -> None:
        """Agree on keys. Raises Timeout, OSError (ssl.SSLError is one)."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                self._flush_quietly()  # the alert that tells the peer why
                raise
            else:
                self._flush()
                return

    def recv(self, size: int = HEAD_OCTETS) -> bytes:
        """As ``Wire.recv``, decrypted."""
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                if self._out.pending:
                    self._flush()  # a key update wants an answer
                data = super().recv(BODY_OCTETS)
                if not data:
                    return b""  # a missing close_notify: framing above tells whether the message was complete
                self._in.write(data)
            except ssl.SSLZeroReturnError:
                return b""

    def send(self, octets: bytes) -> None:
        """As ``Wire.send``, encrypted."""
        self.tls.write(octets)
        self._flush()

    def wait_readable(self) -> None:
        """As ``Wire.wait_readable``; what is decrypted already counts."""
        if not self.tls.pending() and not self._in.pending:
            super().wait_readable()

    def close(self) -> None:
        """Say goodbye, so that the peer can tell a regular end from an attack, and close."""
        if not self.closed:
            try:
                self.tls.unwrap()
            except (OSError, ValueError):
                pass  # SSLWantRead: our close_notify is written, the peer's is not waited for
            self._flush_quietly()
        super().close()

    def _flush(self) -> None:
        data = self._out.read()
        if data:
            super().send(data)

    def _flush_quietly(self) -> None:
        try:
            self._send(self._out.read())
        except OSError:
            pass

    def _fill(self) -> None:
        data = super().recv(BODY_OCTETS)
        if not data:
            raise ConnectionResetError("closed during the TLS handshake")
        self._in.write(data)


def connect(address: str, timeout_s: float, tls: ssl.SSLContext | None = None, server_name: str | None = None) -> Wire:
    """Connect to ``host:port``, ``[ipv6]:port`` or ``unix:/path``, TLS handshake included. Raises Timeout, OSError."""
    deadline = monotonic() + timeout_s
    sock, target = _socket_for(address)
    try:
        sock.setblocking(False)
        error = sock.connect_ex(target)
        while error == errno.EAGAIN and sock.family == _socket.AF_UNIX:  # its backlog is full, and nothing will tell when it is not
            if monotonic() > deadline:
                raise Timeout
            sleep(0.01)
            error = sock.connect_ex(target)
        if error and error not in _CONNECTING:
            raise OSError(error, os.strerror(error))
        wire: Wire = Wire(sock) if tls is None else TlsWire(sock, tls, server_side=False, server_name=server_name)
    except BaseException:
        sock.close()
        raise
    try:
        wire.deadline = deadline
        if error:
            wire.wait_writable()
            error = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
        wire.rearm()
        if isinstance(wire, TlsWire):
            wire.handshake()
        wire.deadline = 0.0
    except BaseException:
        Wire.close(wire)
        raise
    return wire


_targets: dict[str, tuple[int, Any]] = {}


def _socket_for(address: str) -> tuple[Any, Any]:
    """Return a fresh socket and what to connect it to. Numeric addresses are parsed once; names go to the resolver's threads."""
    known = _targets.get(address)
    if known is None:
        known = _target(address)
    family, target = known
    sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    if family != _socket.AF_UNIX:
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    return sock, target


def _target(address: str) -> tuple[int, Any]:
    if address.startswith("unix:"):
        return _socket.AF_UNIX, address[5:]
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, host)
        except OSError:
            continue
        known = _targets[address] = (family, (host, int(port)))
        return known
    family, _, _, _, target = get_hub().resolver.getaddrinfo(host, int(port), 0, _socket.SOCK_STREAM)[0]
    return family, target  # not kept: names may move


def start_sweeping() -> Any:
    """Start the timer that keeps deadlines; call once per process, after the fork. Returns the timer: keep it."""
    timer = get_hub().loop.timer(SWEEP_S, SWEEP_S)
    timer.start(sweep)
    return timer


def sweep() -> None:
    """Throw Timeout into every greenlet that waits on a wire whose deadline has passed."""
    now = monotonic()
    late = [wire for wire in _open if 0.0 < wire.deadline < now and (wire._reading is not None or wire._writing is not None)]
    for wire in late:
        wire.expire()


def _throw_closed(wire: Wire, waiter: Any) -> None:
    if waiter is wire._reading or waiter is wire._writing:
        waiter.throw(ConnectionAbortedError("closed while waiting"))
