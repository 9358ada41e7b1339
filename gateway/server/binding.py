"""Listening sockets: bound once by the master, shared by every worker, kept open while workers come and go.

A listener has one socket per address that its name stands for (``localhost`` is often two). Sockets may also come from
outside, from systemd or from the program that this one replaced; they are matched to listeners by name
(``FileDescriptorName=``) or by the address they are bound to.
"""

import errno
import os
import socket
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.model.listener import Listener

#: connections that may wait to be accepted; the kernel lowers it to net.core.somaxconn
BACKLOG = 4096
#: what the kernel takes of a response beyond what it has sent. Unless told it takes megabytes for each client, so that a thousand who
#: do not read fill the machine's memory and look as if they had read everything
UNSENT_OCTETS = 262144
#: an orphaned worker of a killed master lets go of its sockets within this time
PATIENCE_S = 3.0
_RETRY_S = 0.1
FIRST_PASSED_FD = 3


class BindError(Exception):
    """A listener cannot be bound; the text says which and why."""


@dataclass(slots=True)
class Bound:
    """The sockets of one listener."""

    listener: Listener
    sockets: list[socket.socket] = field(default_factory=list)
    #: of the file of a Unix socket that we made; 0 = there is none, or it is systemd's
    inode: int = 0
    #: systemd's: it keeps them open whatever we do
    foreign: bool = False

    def close(self) -> None:
        """Close the sockets, and remove the file of a Unix socket unless somebody else's took its place."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
        if self.inode and _inode(self.listener) == self.inode:
            os.unlink(self.listener.address[5:])


def bind(listener: Listener, patience_s: float = 0.0) -> Bound:
    """Bind a listener. Raises BindError when that fails for ``patience_s`` seconds."""
    limit = time.monotonic() + patience_s
    while True:
        bound = Bound(listener)
        try:
            for family, address in _addresses(listener.address):
                bound.sockets.append(_open(family, address, listener))
        except OSError as error:
            bound.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() >= limit:
                raise BindError(f"listener {listener.name}: cannot bind {listener.address}: {_reason(error)}") from error
            time.sleep(_RETRY_S)
        else:
            bound.inode = _inode(listener)
            return bound


def rebind(current: Mapping[str, Bound], wanted: Iterable[Listener], patience_s: float = 0.0) -> tuple[dict[str, Bound], list[Bound]]:
    """Return the sockets for the wanted listeners and those no longer needed, which are left open.

    What is bound already is kept. When one listener cannot be bound nothing changes, and BindError says why.
    """
    kept: dict[str, Bound] = {}
    fresh: list[Bound] = []
    free = {_key(bound.listener): bound for bound in current.values()}
    try:
        for listener in wanted:
            bound = free.pop(_key(listener), None)
            if bound is None:
                bound = bind(listener, patience_s)
                fresh.append(bound)
            kept[listener.name] = Bound(listener, bound.sockets, bound.inode, bound.foreign)
    except BindError:
        for bound in fresh:
            bound.close()
        raise
    return kept, list(free.values())


def adopt(listeners: Iterable[Listener], passed: Mapping[int, str], foreign: bool = True) -> tuple[dict[str, Bound], list[int]]:
    """Match sockets that were passed in (descriptor -> name, which may be empty) to listeners.

    ``foreign``: they are systemd's; else the program that this one replaced had bound them. Returns what was matched, and
    the descriptors that no listener wants.
    """
    sockets = {fd: socket.socket(fileno=fd) for fd in passed}
    found: dict[str, Bound] = {}
    for listener in listeners:
        kind = _kind(listener)
        mine = [
            fd for fd, sock in sockets.items() if sock.type == kind and (passed[fd] == listener.name or _bound_to(sock, listener.address))
        ]
        if mine:
            adopted = [_listening(sockets.pop(fd)) for fd in mine]
            found[listener.name] = Bound(listener, adopted, 0 if foreign else _inode(listener), foreign)
    for sock in sockets.values():
        sock.detach()
    return found, list(sockets)


def passed_by_systemd() -> dict[int, str]:
    """Return the descriptors that systemd passed to this very process, with their names; empty when there are none."""
    environment = os.environ
    try:
        mine = int(environment.get("LISTEN_PID", "0")) == os.getpid()
        count = int(environment.get("LISTEN_FDS", "0"))
    except ValueError:
        return {}
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environment.pop(variable, None)  # children must not take them for theirs
    if not mine:
        return {}
    passed = {}
    for at in range(count):
        fd = FIRST_PASSED_FD + at
        os.set_inheritable(fd, False)
        passed[fd] = names[at] if at < len(names) else ""
    return passed


def _key(listener: Listener) -> tuple[str, bool]:
    return listener.address, listener.protocol == "udp"


def _kind(listener: Listener) -> socket.SocketKind:
    return socket.SOCK_DGRAM if listener.protocol == "udp" else socket.SOCK_STREAM


def _addresses(address: str) -> list[tuple[socket.AddressFamily, Any]]:
    if address.startswith("unix:"):
        return [(socket.AF_UNIX, address[5:])]
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, target) for family, _, _, _, target in found))


def _open(family: socket.AddressFamily, address: Any, listener: Listener) -> socket.socket:
    if family == socket.AF_UNIX:
        _remove_stale(address, _kind(listener))
    sock = socket.socket(family, _kind(listener))
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # so that [::]:80 and 0.0.0.0:80 can stand side by side
        sock.bind(address)
        return _listening(sock)
    except OSError:
        sock.close()
        raise


def _listening(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    if sock.type == socket.SOCK_STREAM:
        if sock.family != socket.AF_UNIX:
            # accepted connections inherit both
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_OCTETS)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.listen(BACKLOG)
    return sock


def _bound_to(sock: socket.socket, address: str) -> bool:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return address == f"unix:{name}"
    try:
        wanted = [target[:2] for family, target in _addresses(address) if family == sock.family]
    except (OSError, ValueError):
        return False
    return name[:2] in wanted


def _remove_stale(path: str, kind: socket.SocketKind) -> None:
    """Remove the file of a Unix socket that nobody listens on. Raises OSError when somebody does, or when it is no socket."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "there is a file of that name which is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        else:
            raise OSError(errno.EADDRINUSE, "another process listens there")
    os.unlink(path)


def _inode(listener: Listener) -> int:
    """Return the inode of a Unix listener's file, 0 when there is none."""
    if not listener.address.startswith("unix:"):
        return 0
    try:
        return os.stat(listener.address[5:]).st_ino
    except OSError:
        return 0


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
