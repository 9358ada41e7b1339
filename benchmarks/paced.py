"""Load at a given rate: requests that arrive at random moments, whether or not earlier ones are answered.

``python paced.py PORT PATH RATE SECONDS CONNECTIONS [NAME: VALUE]...`` prints a summary as load.lua does. A latency begins when the
request was due, so a proxy that stalls is charged with everything that had to wait meanwhile.

A kept connection may be closed by the server just when a request is sent on it. A client sends such a request again when it is
idempotent and nothing of an answer has come (RFC 9112, section 9.3.1); these are counted as ``again``, and not as errors.
"""

import json
import random
import select
import socket
import sys
import time
from collections import Counter, deque

#: A request without an answer for so long counts as lost.
PATIENCE_S = 10.0


class Client:
    """A connection with at most one request on its way."""

    __slots__ = ("answers", "due", "received", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.received = b""
        #: responses taken on this connection
        self.answers = 0


def complete(received: bytes) -> bool:
    """Return whether a response with Content-Length has arrived whole."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = received[:end].lower()
    at = head.find(b"content-length:")
    return at < 0 or len(received) - end - 4 >= int(head[at + 15 :].split(b"\r\n", 1)[0])


class Pacer:
    """Sends requests when they are due and notes when each is answered."""

    def __init__(self, port: int, request: bytes, rate: float, connections: int) -> None:
        self.port = port
        self.request = request
        self.rate = rate
        self.latencies: list[float] = []
        self.again = 0
        self.errors: Counter[str] = Counter()
        self.late: deque[float] = deque()
        self.epoll = select.epoll()
        self.clients: dict[int, Client] = {}
        self.idle: list[Client] = []
        for _ in range(connections):
            self._connect()

    def run(self, seconds: float) -> None:
        """Keep sending for this long, then wait for what is on its way."""
        chance = random.Random(1)
        due = begun = time.perf_counter()
        end = begun + seconds
        while True:
            now = time.perf_counter()
            while due <= now and due < end:
                self.late.append(due)
                due += chance.expovariate(self.rate)
            while self.late and self.idle:
                self._send(self.idle.pop(), self.late.popleft())
            if now > end and (len(self.idle) == len(self.clients) or now > end + PATIENCE_S):
                break
            # epoll's own timeout has steps of a millisecond, select's of a microsecond.
            wait = due - time.perf_counter() if due < end else 0.01
            if wait > 0 and not select.select([self.epoll], [], [], wait)[0]:
                continue
            for number, _ in self.epoll.poll(0):
                self._answer(self.clients[number])
        self.errors["no answer"] += len(self.clients) - len(self.idle) + len(self.late)

    def _connect(self) -> Client:
        client = Client(self.port)
        self.clients[client.socket.fileno()] = client
        self.epoll.register(client.socket, select.EPOLLIN)
        self.idle.append(client)
        return client

    def _replace(self, client: Client) -> None:
        """Close a connection that is over, open another, which is the next to be used."""
        self.epoll.unregister(client.socket)
        del self.clients[client.socket.fileno()]
        if client in self.idle:
            self.idle.remove(client)
        client.socket.close()
        self._connect()

    def _send(self, client: Client, due: float) -> None:
        client.due = due
        try:
            client.socket.send(self.request)
        except OSError:
            self._closed(client, "closed before the request")

    def _answer(self, client: Client) -> None:
        try:
            received = client.socket.recv(65536)
        except OSError:
            received = b""
        if not received:
            self._closed(client, "closed without an answer")
            return
        client.received += received
        if complete(client.received):
            self.latencies.append(time.perf_counter() - client.due)
            head = client.received[: client.received.find(b"\r\n\r\n")]
            if not head.startswith(b"HTTP/1.1 200 "):
                self.errors[head[:60].split(b"\r\n", 1)[0].decode("latin-1")] += 1
            client.due = 0.0
            client.received = b""
            client.answers += 1
            self.idle.append(client)
            if b"\r\nconnection: close" in head.lower():
                self._replace(client)

    def _closed(self, client: Client, reason: str) -> None:
        due = client.due
        if due and (client.received or not client.answers):
            self.errors["closed within an answer" if client.received else reason] += 1
        elif due:
            self.again += 1
            self.late.appendleft(due)
        self._replace(client)


def main(port: str, path: str, rate: str, seconds: str, connections: str, *headers: str) -> None:
    """Run, and print the summary."""
    request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()
    pacer = Pacer(int(port), request, float(rate), int(connections))
    pacer.run(float(seconds))
    latencies = sorted(pacer.latencies) or [0.0]
    count = len(latencies)
    shares = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}
    summary: dict[str, object] = {name: latencies[min(count - 1, int(count * share))] * 1e6 for name, share in shares.items()}
    summary |= {"requests": len(pacer.latencies), "duration_us": float(seconds) * 1e6, "bytes": 0, "again": pacer.again}
    summary |= {"connect": 0, "read": 0, "write": 0, "status": pacer.errors.total(), "timeout": 0, "reasons": +pacer.errors}
    print("SUMMARY " + json.dumps(summary))


if __name__ == "__main__":
    main(*sys.argv[1:])
