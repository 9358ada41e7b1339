"""Two small backends to put a gateway in front of: ``python examples/backends.py 9001 9002``.

Each serves users and orders as JSON, says which one it is, shows the headers that reached it, and can be slow or fail on request.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

USERS = {"1": {"name": "Ada Lovelace", "city": "London"}, "2": {"name": "Grace Hopper", "city": "New York"}}
ORDERS = {"1": [{"item": "punch cards", "count": 1000}], "2": [{"item": "moth tape", "count": 1}]}


class Sample(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"  # so that connections are kept
    disable_nagle_algorithm = True  # head and content are written apart; the second must not wait for an acknowledgement
    server: "Backend"

    def do_GET(self) -> None:
        """Look at the path, answer in JSON."""
        url = urlsplit(self.path)
        match url.path.strip("/").split("/"):
            case ["health"]:
                self.reply(200, {"status": "ok"})
            case ["users", user] if user in USERS:
                self.reply(200, {"id": user, **USERS[user]})
            case ["orders", user]:
                self.reply(200, {"orders": ORDERS.get(user, [])})
            case ["slow"]:
                time.sleep(float(parse_qs(url.query).get("seconds", ["1"])[0]))
                self.reply(200, {"slept": True})
            case ["status", number] if number.isdigit():
                self.reply(int(number), {"status": int(number)})
            case ["events"]:
                self.stream_events()
            case ["hello" | "headers"]:
                self.reply(200, {"hello": f"from {self.server.name}", "path": self.path, "headers": dict(self.headers)})
            case _:
                self.reply(404, {"error": f"{self.server.name} has nothing at {url.path}"})

    def do_POST(self) -> None:
        """Take the content, say how much it was."""
        length = int(self.headers.get("Content-Length") or 0)
        received = len(self.rfile.read(length))
        self.reply(201, {"received": received, "path": self.path})

    def reply(self, status: int, document: dict[str, Any]) -> None:
        """Send a document, marked with the backend's name."""
        content = json.dumps({"backend": self.server.name, **document}, indent=1).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream_events(self) -> None:
        """Send an event every half second, five of them: nothing on the way may wait for the last."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(5):
            self.wfile.write(f"data: {number} from {self.server.name}\n\n".encode())
            time.sleep(0.5)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: the gateway writes the access log."""


class Backend(ThreadingHTTPServer):
    """A backend with a name."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, name: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), Sample)
        self.name = name


def main(ports: list[int]) -> None:
    """Serve on all the ports until stopped."""
    backends = [Backend(f"backend {number}", port) for number, port in enumerate(ports, 1)]
    for backend in backends[1:]:
        threading.Thread(target=backend.serve_forever, daemon=True).start()
    backends[0].serve_forever()


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:]] or [9001, 9002])
