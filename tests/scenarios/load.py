"""Clients that keep asking while something is done to the gateway, and write down everything that is not a good answer."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Trouble:
    """Something that did not go well. ``port`` is the client's, so that it can be told which worker had the connection."""

    port: int
    what: str
    target: str


@dataclass(frozen=True)
class Good:
    """An answer: 200, and whole."""

    port: int
    target: str
    head: bytes
    content: bytes


class Load:
    """GET requests over kept connections, at a gentle pace, from ``with`` to its end.

    A request is *failed* when it got no whole 200: cut off, refused, or unanswered on a connection that was new. When a kept
    connection closes before the first octet of an answer, it is sent *again* on a new one, as every HTTP client does (RFC 9112,
    section 9.3.1), and fails if that is of no use. A request for which nobody listens any more is *refused*.
    """

    def __init__(
        self, address: str, targets: Callable[[int], str] | str = "/", clients: int = 4, pause_s: float = 0.008,
        good: Callable[[Good], str] | None = None, fields: str = "",
    ) -> None:  # fmt: skip
        self.failed: list[Trouble] = []
        self.again: list[Trouble] = []
        self.refused: list[Trouble] = []
        self.statuses: Counter[int] = Counter()
        self.longest_s = 0.0
        self._address = ("127.0.0.1", int(address.rpartition(":")[2]))
        self._target = targets if callable(targets) else lambda _: targets
        self._pause_s = pause_s
        self._fields = fields
        #: says what is wrong with a 200; empty when nothing is
        self._judge = good
        self._ending = threading.Event()
        self._progress = threading.Condition()
        self._threads = [threading.Thread(target=self._ask_on, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a client still waits for an answer"

    @property
    def answered(self) -> int:
        """Good answers so far."""
        return self.statuses[200]

    def more(self, count: int) -> None:
        """Wait for so many more answers of any kind."""
        with self._progress:
            goal = sum(self.statuses.values()) + count
            assert self._progress.wait_for(lambda: sum(self.statuses.values()) >= goal or self.refused, PATIENCE_S), "nobody answers"

    def report(self, what: str) -> None:
        """Print the figures, which pytest shows with ``-s`` and on failure."""
        figures = f"{self.answered} good, {len(self.failed)} failed, {len(self.again)} sent again, longest {self.longest_s * 1000:.0f} ms"
        print(f"{what}: {figures}", self.failed[:5], self.again[:5])

    def _ask_on(self, client: int) -> None:
        connection: Connection | None = None
        number = client
        while not self._ending.wait(self._pause_s):
            target = self._target(number)
            number += len(self._threads)
            began = time.monotonic()
            try:
                connection = self._ask(connection, target)
            except ConnectionRefusedError:
                self.refused.append(Trouble(0, "refused", target))
                with self._progress:
                    self._progress.notify_all()
                return
            self.longest_s = max(self.longest_s, time.monotonic() - began)
        if connection is not None:
            connection.close()

    def _ask(self, connection: "Connection | None", target: str) -> "Connection | None":
        """Send one request and judge the answer; return the connection when it can be used again."""
        fresh = connection is None
        connection = connection or Connection(self._address)
        try:
            status, head, content, keep = connection.ask(target, self._fields)
        except (OSError, EOFError) as error:
            connection.close()
            trouble = Trouble(connection.port, f"{error!r} after {len(connection.received)} octets", target)
            if fresh or connection.received:
                self._note(trouble, 0)
                return None
            self.again.append(trouble)
            return self._ask(None, target)
        wrong = "" if status == 200 else f"{status} {content.decode('latin-1')[:200]}"
        if not wrong and self._judge is not None:
            wrong = self._judge(Good(connection.port, target, head, content))
        self._note(Trouble(connection.port, wrong, target) if wrong else None, status)
        if keep:
            return connection
        connection.close()
        return None

    def _note(self, trouble: Trouble | None, status: int) -> None:
        with self._progress:
            self.statuses[status] += 1
            if trouble is not None:
                self.failed.append(trouble)
            self._progress.notify_all()


class Connection:
    """One connection of a client."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self.sock.getsockname()[1]
        #: of the response that is being read
        self.received = b""

    def ask(self, target: str, fields: str = "") -> tuple[int, bytes, bytes, bool]:
        """Send a GET; return status, head, content, and whether the connection stays open. Raises OSError, EOFError."""
        self.received = b""
        self.sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n".encode())
        while b"\r\n\r\n" not in self.received:
            self._more()
        head, _, content = self.received.partition(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(content) < length:
            content += self._more()
        return int(head.split()[1]), head, content, b"connection: close" not in lower

    def _more(self) -> bytes:
        octets = self.sock.recv(65536)
        if not octets:
            raise EOFError("closed")
        self.received += octets
        return octets

    def close(self) -> None:
        self.sock.close()

    def __del__(self) -> None:
        if hasattr(self, "sock"):
            self.sock.close()
