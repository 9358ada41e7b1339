"""A backend that takes request bodies to their last octet before it answers, which nginx's ``return`` does not.

``python sink.py PORT``. It throws the content away inside the kernel (MSG_TRUNC, tcp(7)), so it is never the slowest part.
Bodies need a Content-Length; anything else is answered with 501, and so shows up as an error.
"""

import re
import selectors
import socket
import sys

GOOD = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"message": "hello"}'
BAD = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
ANY_LENGTH = 1 << 20


class Client:
    """A connection, with what is missing of the request it is sending."""

    __slots__ = ("head", "missing", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.head = b""
        self.missing = 0

    def readable(self) -> bool:
        """Take what has arrived, answer what is complete; return whether the connection goes on."""
        if self.missing:
            taken = self.socket.recv_into(BUFFER, min(self.missing, ANY_LENGTH), socket.MSG_TRUNC)
            self.missing -= taken
            if taken and not self.missing:
                self.socket.sendall(GOOD)
            return taken > 0
        received = self.socket.recv(65536)
        self.head += received
        end = self.head.find(b"\r\n\r\n")
        if end >= 0:
            length = LENGTH.search(self.head, 0, end + 2)
            if not length and not self.head.startswith(b"GET "):
                self.socket.sendall(BAD)
                return False
            self.missing = int(length[1] if length else 0) - (len(self.head) - end - 4)
            self.head = b""
            if self.missing <= 0:
                self.socket.sendall(GOOD)
                self.missing = 0
        return bool(received)


BUFFER = bytearray(ANY_LENGTH)


def main(port: int) -> None:
    """Serve until killed."""
    selector = selectors.DefaultSelector()
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                client: Client | None = key.data
                if client is None:
                    connection, _ = listener.accept()
                    selector.register(connection, selectors.EVENT_READ, Client(connection))
                    continue
                try:
                    goes_on = client.readable()
                except OSError:
                    goes_on = False
                if not goes_on:
                    selector.unregister(client.socket)
                    client.socket.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
