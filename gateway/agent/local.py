"""Unix sockets at paths of any length: the kernel takes 107 octets, a state directory may be deeper than that."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PATH_MOST = 107

#: ``socket.socket``, or gevent's
Maker = Callable[..., Any]


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a name for the path that the kernel takes, good for as long as the context lasts."""
    name = str(path)
    if len(os.fsencode(name)) <= _PATH_MOST:
        yield name
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path, make: Maker = socket.socket) -> Any:
    """Listen at the path, for this user only. A socket file that is there already is replaced: who owns the directory owns the name."""
    sock = make(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        with _short(fresh) as name:
            sock.bind(name)
        fresh.chmod(0o600)
        sock.listen(128)
        fresh.replace(path)  # whoever connects meanwhile finds the old one or the new one, never none
    except BaseException:
        sock.close()
        raise
    return sock


def connect(path: Path, make: Maker = socket.socket) -> Any:
    """Connect to a socket that listens at the path. Raises OSError."""
    sock = make(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as name:
            sock.connect(name)
    except BaseException:
        sock.close()
        raise
    return sock
