"""A backend that does exactly what a test says, octet by octet: for all that a well-behaved server never does."""

import queue
import socket
import threading
from collections.abc import Callable

Script = Callable[["Peer"], None]


class Peer:
    """One connection, seen from the backend (or, with ``connect``, from a client)."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(10)
        self.buffer = b""

    @classmethod
    def connect(cls, address: str) -> "Peer":
        host, _, port = address.rpartition(":")
        return cls(socket.create_connection((host.strip("[]"), int(port)), 10))

    def send(self, octets: bytes) -> None:
        self.sock.sendall(octets)

    def more(self) -> bytes:
        octets = self.sock.recv(65536)
        self.buffer += octets
        return octets

    def until(self, mark: bytes) -> bytes:
        """Return the octets up to and with the mark. Raises EOFError."""
        while mark not in self.buffer:
            if not self.more():
                raise EOFError(self.buffer)
        found, _, self.buffer = self.buffer.partition(mark)
        return found + mark

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self.more():
                raise EOFError(self.buffer)
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def head(self) -> bytes:
        return self.until(b"\r\n\r\n")

    def rest(self) -> bytes:
        """Return everything until the other side closes; a reset counts as the end."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        found, self.buffer = self.buffer, b""
        return found

    def close(self) -> None:
        self.sock.close()

    __del__ = close  # a test that fails half way must not leave a socket to warn about

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()


class Scripted:
    """Runs ``script`` on every connection; what a script raises is kept in ``errors``, what it ``put``s in ``seen``."""

    def __init__(self, script: Script | None = None) -> None:
        self.script: Script | None = script
        self.errors: list[BaseException] = []
        self.seen: queue.Queue[object] = queue.Queue()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.connections = 0
        self._open: set[Peer] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            peer = Peer(sock)
            self._open.add(peer)
            threading.Thread(target=self._run, args=(peer,), daemon=True).start()

    def _run(self, peer: Peer) -> None:
        try:
            assert self.script is not None
            self.script(peer)
        except (EOFError, ConnectionError):
            pass  # the other side has gone, which scripts need not care about
        except BaseException as error:
            self.errors.append(error)
        finally:
            self._open.discard(peer)
            peer.close()

    def begin(self, script: Script) -> None:
        """Drop every connection, so that the next request meets this script."""
        self.script = script
        self.errors.clear()
        self.seen = queue.Queue()
        for peer in list(self._open):
            try:
                peer.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self._server.close()


def answer(octets: bytes) -> Script:
    """Return a script that answers every request of a connection with the same octets."""

    def script(peer: Peer) -> None:
        while True:
            peer.head()
            peer.send(octets)

    return script
