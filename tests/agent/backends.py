"""A backend for health checks that behaves as it is told, and can be told otherwise at any time."""

import socket
import struct

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def status(code):
    return f"HTTP/1.1 {code} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(sock):
    gevent.sleep(60)


class Backend:
    """Answers each probe with ``answer``: octets to send, or a function of the socket. Serves TLS with a context."""

    def __init__(self, answer=OK, listener=("127.0.0.1", 0), **tls):
        self.answer = answer
        self.requests = []
        self.connections = 0
        self._server = StreamServer(listener, self._serve, spawn=Pool(), **tls)
        self._server.start()
        self.address = listener.getsockname() if isinstance(listener, socket.socket) else f"127.0.0.1:{self._server.server_port}"

    def _serve(self, sock, _):
        self.connections += 1
        try:
            if isinstance(self.answer, bytes):
                self.requests.append(sock.recv(65536))
                sock.sendall(self.answer)
            else:
                self.answer(sock)
        except OSError:
            pass  # a probe that has seen enough closes
        finally:
            sock.close()

    def refuse(self):
        """Take no new connections; those there are go on."""
        self._server.close()

    def stop(self):
        self._server.stop(timeout=0)
