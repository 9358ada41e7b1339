"""Load at a given rate: requests that arrive at random moments, whether or not earlier ones are answered.

``python paced.py PORT PATH RATE SECONDS CONNECTIONS [NAME: VALUE]...`` prints a summary as load.lua does. A latency begins when the
request was due, so a proxy that stalls is charged with everything that had to wait meanwhile.
"""

import json
import random
import select
import socket
import sys
import time
from collections import deque


class Client:
    """A connection with at most one request on its way."""

    __slots__ = ("due", "received", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.received = b""


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
        self.request = request
        self.rate = rate
        self.clients = {client.socket.fileno(): client for client in (Client(port) for _ in range(connections))}
        self.idle = list(self.clients.values())
        self.late: deque[float] = deque()
        self.latencies: list[float] = []
        self.errors = 0
        self.epoll = select.epoll()
        for number in self.clients:
            self.epoll.register(number, select.EPOLLIN)

    def run(self, seconds: float) -> None:
        """Keep sending for this long, then wait for what is on its way, a second at most."""
        chance = random.Random(1)
        due = begun = time.perf_counter()
        end = begun + seconds
        while True:
            now = time.perf_counter()
            while due <= now and due < end:
                self.late.append(due)
                due += chance.expovariate(self.rate)
            while self.late and self.idle:
                client = self.idle.pop()
                client.due = self.late.popleft()
                client.socket.send(self.request)
            if now > end and (len(self.idle) == len(self.clients) or now > end + 1):
                break
            # epoll's own timeout has steps of a millisecond, select's of a microsecond.
            wait = min(due, end + 1) - time.perf_counter() if due < end else 0.01
            if wait > 0 and not select.select([self.epoll], [], [], wait)[0]:
                continue
            for number, _ in self.epoll.poll(0):
                self._answer(self.clients[number])
        self.errors += len(self.clients) - len(self.idle) + len(self.late)

    def _answer(self, client: Client) -> None:
        received = client.socket.recv(65536)
        if not received:
            raise SystemExit("a connection was closed")
        client.received += received
        if complete(client.received):
            self.latencies.append(time.perf_counter() - client.due)
            self.errors += not client.received.startswith(b"HTTP/1.1 200 ")
            client.received = b""
            self.idle.append(client)


def main(port: str, path: str, rate: str, seconds: str, connections: str, *headers: str) -> None:
    """Run, and print the summary."""
    request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()
    pacer = Pacer(int(port), request, float(rate), int(connections))
    pacer.run(float(seconds))
    latencies = sorted(pacer.latencies) or [0.0]
    count = len(latencies)
    shares = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}
    summary = {name: latencies[min(count - 1, int(count * share))] * 1e6 for name, share in shares.items()}
    summary |= {"requests": len(pacer.latencies), "duration_us": float(seconds) * 1e6, "bytes": 0}
    summary |= {"connect": 0, "read": 0, "write": 0, "status": pacer.errors, "timeout": 0}
    print("SUMMARY " + json.dumps(summary))


if __name__ == "__main__":
    main(*sys.argv[1:])
