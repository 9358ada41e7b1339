"""Where lines go: a file, a pipe or a socket that several workers write to at once, none of them ever waiting.

A file is opened for appending, so each write lands whole. Pipes and sockets keep writes apart only up to PIPE_BUF
octets, so they are fed in pieces that end with a line. Standard output is opened anew through ``/proc``, because the
non-blocking flag belongs to the open file, and everybody else who writes to it expects to wait.
"""

import os
import select
import socket
import stat
from _socket import socket as Plain  # the class itself: ``socket.socket`` may have been made to wait
from collections.abc import Callable

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC


class Sink:
    """An open file, pipe or socket. ``path`` "-" is standard output. Raises OSError when it cannot be opened."""

    def __init__(self, path: str) -> None:
        self._put: Callable[[bytes], int]
        self.close: Callable[[], object]
        if path == "-" and stat.S_ISSOCK(os.fstat(1).st_mode):  # under systemd; a socket cannot be opened anew
            plain = Plain(fileno=os.dup(1))
            self._put = lambda octets: plain.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            self.close = plain.close
            regular = False
        else:
            fd = _standard_output() if path == "-" else os.open(path, _FLAGS | os.O_CREAT, 0o640)
            self._put = lambda octets: os.write(fd, octets)
            self.close = lambda: os.close(fd)
            regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._most = None if regular else select.PIPE_BUF

    def write(self, octets: bytes) -> int:
        """Write what is taken without waiting, whole lines as far as possible, and return how many octets that were.

        Raises OSError when nothing can be written, for another reason than that it would have to wait.
        """
        at, most = 0, self._most
        try:
            while at < len(octets):
                end = _end(octets, at, most) if most else len(octets)
                at += self._put(octets[at:end])
                if at < end:
                    break
        except BlockingIOError:
            pass
        return at


def _standard_output() -> int:
    try:
        return os.open("/proc/self/fd/1", _FLAGS)
    except OSError:  # such as a terminal of somebody else's: then as it is
        return os.dup(1)


def _end(octets: bytes, at: int, most: int) -> int:
    """Return the end of the last line within ``most`` octets, or of the first line when even that is longer."""
    if len(octets) - at <= most:
        return len(octets)
    return (octets.rfind(b"\n", at, at + most) + 1) or (octets.find(b"\n", at) + 1) or len(octets)
