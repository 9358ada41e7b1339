"""A backend that is a process of its own, so that it can be killed: ``python backend.py NAME PORT``.

It answers with its name and the target that it was asked for. ``/slow/SECONDS`` takes its time, ``/large`` is 1 MiB.
"""

import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: one for all, so that a thousand who ask for it cost nothing
LARGE = bytes(1 << 20)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and content leave together: what is killed has answered wholly or not at all

    def do_GET(self) -> None:
        words = self.path.split("/")
        if words[1] == "slow":
            time.sleep(float(words[2]))
        content = LARGE if words[1] == "large" else f"{NAME} {self.path}".encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read1(min(left, 65536)) or exit())
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2048

    def handle_error(self, *_: object) -> None:
        """Clients that leave are what attacks are made of."""


class Backend:
    """Such a process, as its user sees it."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name
        command = [sys.executable, __file__, name, str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.address = f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End it at once, as a machine does that loses power, except that the kernel tells."""
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


if __name__ == "__main__":
    NAME = sys.argv[1]
    server = Server(("127.0.0.1", int(sys.argv[2])), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
