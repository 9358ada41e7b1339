"""A backend for tests: a threaded HTTP/1.1 server that writes down every request and answers as it is told.

Part of the plugin author's kit; import it from ``gateway.testing``.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

from gateway.http.headers import Headers


@dataclass
class Received:
    """A request as it arrived at the backend."""

    method: str
    #: path and query, as sent
    target: str
    headers: Headers
    content: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.target.partition("?")[2]


@dataclass
class Answer:
    """What the backend says."""

    status: int = 200
    headers: Iterable[tuple[str, str]] = ()
    content: bytes = b""


@dataclass
class Echo:
    """The backend. ``answer`` may be replaced; unless it is, the request is described in JSON."""

    #: every request so far, in order of arrival
    requests: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Answer] | None = None
    address: str = ""

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.echo = self
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def last(self) -> Received:
        """The request that arrived last."""
        return self.requests[-1]

    def wait(self, count: int, timeout_s: float = 10) -> list[Received]:
        """Wait until so many requests have arrived and return them. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise TimeoutError(f"{len(self.requests)} of {count} requests arrived in {timeout_s} s")
            return self.requests[:]

    def close(self) -> None:
        """Stop serving and drop every connection; harmless when it is closed already."""
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()
        self._thread.join(5)

    def _take(self, request: Received) -> Answer:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        return self.answer(request) if self.answer else _described(request)


def _described(request: Received) -> Answer:
    seen: dict[str, Any] = {
        "method": request.method,
        "target": request.target,
        "headers": list(request.headers),
        "content": request.content.decode("latin-1"),
    }
    return Answer(200, [("Content-Type", "application/json")], json.dumps(seen).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    echo: Echo

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what many tests are about."""

    def drop_connections(self) -> None:
        """End every connection that is still open, so that no thread outlives the test."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has gone by itself
                pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    # head and content leave together, as those of a quick backend do
    wbufsize = -1

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # any method
            return self._respond
        raise AttributeError(name)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Tests look at ``requests``."""

    def _respond(self) -> None:
        content = _content(self.rfile, self.headers)
        answer = self.server.echo._take(Received(self.command, self.path, Headers.of(self.headers.items()), content))
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status >= 200 and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.wfile.write(answer.content)


def _content(stream: BufferedIOBase, headers: Any) -> bytes:
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        return stream.read(int(headers.get("Content-Length", 0)))
    chunks = []
    while size := int(stream.readline().partition(b";")[0], 16):
        chunks.append(stream.read(size))
        stream.readline()
    while stream.readline() not in (b"\r\n", b"\n", b""):  # trailers
        pass
    return b"".join(chunks)
