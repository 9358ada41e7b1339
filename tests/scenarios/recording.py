"""A backend that keeps every octet it gets, read a second time by llhttp, and answers with the octets it is told."""

import selectors
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httptools

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"
#: long enough for the gateway to read the octets before it by themselves
PAUSE_S = 0.006


@dataclass
class Seen:
    """A request as llhttp reads what arrived."""

    method: str = ""
    target: str = ""
    host: str = ""
    content: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    #: what came behind it when it asked for another protocol
    tunnelled: bytes = b""


@dataclass
class Taken:
    """What arrived at the backend."""

    octets: bytes = b""
    whole: list[Seen] = field(default_factory=list)
    #: requests that began and did not end
    begun: list[Seen] = field(default_factory=list)
    #: connections that the gateway made and that are still open
    open: int = 0


class Line:
    """One connection of the gateway to the backend."""

    def __init__(self, sock: socket.socket, taken: Taken) -> None:
        self.sock = sock
        self.taken = taken
        self.now: Seen | None = None
        self.resume()

    def resume(self) -> None:
        """Read HTTP, from the next octets on."""
        self.switched: Seen | None = None
        self._in_trailers = False
        self._parser = httptools.HttpRequestParser(self)

    def take(self, octets: bytes) -> int:
        """Read the octets; return how many requests they completed."""
        self.taken.octets += octets
        before = len(self.taken.whole)
        if self.switched is not None:
            self.switched.tunnelled += octets
            return 0
        try:
            self._parser.feed_data(octets)
        except httptools.HttpParserUpgrade as switch:
            self.switched = self.taken.whole[-1]
            self.switched.tunnelled = octets[switch.args[0] :]
        return len(self.taken.whole) - before

    # -- called by llhttp ----

    def on_message_begin(self) -> None:
        self.now, self._in_trailers = Seen(), False

    def on_url(self, octets: bytes) -> None:
        self.now.target += octets.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_trailers:
            self.now.trailers.append((name.decode("latin-1"), value.decode("latin-1")))
        elif name.lower() == b"host":
            self.now.host = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.now.method, self._in_trailers = self._parser.get_method().decode(), True

    def on_body(self, octets: bytes) -> None:
        self.now.content += octets

    def on_message_complete(self) -> None:
        self.taken.whole.append(self.now)
        self.now = None


class Recording:
    """Answers each whole request with ``pieces``, with a pause between them, and then closes if it ``closes``.

    One thread does everything in the order in which it happened, so ``take`` can tell that nothing more is on its way.
    """

    def __init__(self) -> None:
        self.pieces: Sequence[bytes] = ()
        self.closes = False
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._bell, self._rung = socket.socketpair()
        self._selector.register(self._rung, selectors.EVENT_READ)
        self._answered = threading.Event()
        self._lines: set[Line] = set()
        self._taken = self._report = Taken()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> Taken:
        """Return what has arrived since the last time, all of it that was sent by now."""
        self._answered.clear()
        self._bell.send(b"!")
        assert self._answered.wait(10)
        return self._report

    def close(self) -> None:
        self._bell.close()
        self._thread.join(10)

    def _run(self) -> None:
        ringing = False
        while True:
            ready = self._selector.select(0 if ringing else None)
            if ringing and not ready:
                self._settle()
                ringing = False
            for key, _ in ready:
                if key.data is not None:
                    self._serve(key.data)
                elif key.fileobj is self._server:
                    self._accept()
                elif self._rung.recv(1):
                    ringing = True
                else:
                    self._end()
                    return

    def _accept(self) -> None:
        sock, _ = self._server.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(10)
        line = Line(sock, self._taken)
        self._lines.add(line)
        self._selector.register(sock, selectors.EVENT_READ, line)

    def _serve(self, line: Line) -> None:
        try:
            octets = line.sock.recv(1 << 20)
            if octets and line.take(octets):
                self._answer(line)
        except (ConnectionError, httptools.HttpParserError):
            octets = b""
        if not octets:
            self._drop(line)

    def _answer(self, line: Line) -> None:
        usual = OK if line.switched is None else TUNNEL if line.switched.method == "CONNECT" else SWITCH
        for number, piece in enumerate(self.pieces or [usual]):
            if number:
                time.sleep(PAUSE_S)
            line.sock.sendall(piece)
        if self.pieces and not b"".join(self.pieces).startswith((SWITCH[:12], TUNNEL[:12])):
            line.resume()
        if self.closes:
            line.sock.shutdown(socket.SHUT_WR)

    def _drop(self, line: Line) -> None:
        if line.now is not None:
            self._taken.begun.append(line.now)
        self._lines.discard(line)
        self._selector.unregister(line.sock)
        line.sock.close()

    def _settle(self) -> None:
        self._report, self._taken = self._taken, Taken()
        for line in self._lines:
            if line.now is not None:
                self._report.begun.append(line.now)
            line.taken = self._taken
        self._report.open = len(self._lines)
        self._answered.set()

    def _end(self) -> None:
        for line in list(self._lines):
            self._drop(line)
        self._selector.close()
        self._server.close()
        self._rung.close()
