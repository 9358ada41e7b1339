"""Clients that hold on to connections by being slow: ``python slow.py PORT KIND CONNECTIONS SECONDS``.

KIND is ``heads`` (a head, an octet at a time), ``bodies`` (content, an octet at a time) or ``reads`` (1 MiB, read an octet at a
time). A connection that the server gives up is opened again, so the pressure stays. Prints how often that happened.
"""

import socket
import sys
import time

BEGINNING = {
    "heads": b"GET /small HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "bodies": b"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n",
    "reads": b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
#: clients that act together; the steps are spread over the second, since a thousand strangers do not act in time
STEP = 20


def connect(port: int, kind: str) -> socket.socket:
    """Open a connection and send the beginning; with a small window, so that the kernel does not read instead of us."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(5)
    client.connect(("127.0.0.1", port))
    client.sendall(BEGINNING[kind])
    client.setblocking(False)
    return client


def main(port: int, kind: str, connections: int, seconds: float) -> None:
    """Hold the connections for so long, with an octet for each of them once a second."""
    end = time.monotonic() + seconds
    given_up = refused = 0
    clients: list[socket.socket] = []
    while time.monotonic() < end:
        while len(clients) < connections:
            try:
                clients.append(connect(port, kind))
            except OSError:
                refused += 1
                break
        begun = time.monotonic()
        for number, client in enumerate(list(clients)):
            if number % STEP == 0:
                time.sleep(max(0.0, begun + number / len(clients) - time.monotonic()))
            try:
                alive = client.recv(1) != b"" if kind == "reads" else client.send(b"x") == 1
            except BlockingIOError:
                alive = True
            except OSError:
                alive = False
            if not alive:
                given_up += 1
                clients.remove(client)
                client.close()
        time.sleep(max(0.0, min(end, begun + 1) - time.monotonic()))
    print(f"given up {given_up}, refused {refused}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
