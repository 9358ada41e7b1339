"""Move content from a backend's socket to a client's inside the kernel (``splice(2)``): no octet is copied through Python.

A pipe stands between the two sockets. It is filled only as far as it is emptied, so a slow client slows the backend down,
and nothing is held but the pipe's 256 KiB.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from gateway.net import Timeout, Wire, monotonic

if TYPE_CHECKING:
    from gateway.proxy.upstream_body import UpstreamBody

#: below this a pipe costs more than it saves
SPLICE_LEAST = 65536
PIPE_OCTETS = 262144
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
#: pipes at rest; making one costs three system calls
_pipes: list[tuple[int, int]] = []
_PIPES_MOST = 64


def splice(body: UpstreamBody, client: Wire) -> int:
    """Send what remains of the body to the client; return the octets sent.

    Raises what ``UpstreamBody.read`` raises when the backend fails, and Timeout or OSError when the client does.
    """
    source, sent = body.wire, 0
    reader, writer = _pipe()
    held = 0
    clean = False
    try:
        while body.remaining or held:
            if body.remaining and held < PIPE_OCTETS:
                try:
                    moved = os.splice(source.fd, writer, min(body.remaining, PIPE_OCTETS - held), flags=_FLAGS)
                except BlockingIOError:
                    moved = -1
                except OSError as error:
                    raise body.failure("cut_off", str(error)) from error
                if moved == 0:
                    raise body.failure("cut_off", "closed within the content")
                if moved > 0:
                    held += moved
                    body.advance(moved)
                elif not held:
                    _await(body, source)
                    continue
            if held:
                try:
                    moved = os.splice(reader, client.fd, held, flags=_FLAGS)
                except BlockingIOError:
                    client.deadline = monotonic() + client.patience
                    client.wait_writable()
                    continue
                held -= moved
                sent += moved
        clean = True
    finally:
        if clean and len(_pipes) < _PIPES_MOST:
            _pipes.append((reader, writer))
        else:
            os.close(reader)
            os.close(writer)
    return sent


def _await(body: UpstreamBody, source: Wire) -> None:
    source.deadline = body.deadline()
    try:
        source.wait_readable()
    except Timeout:
        raise body.failure("idle_timeout", "no octets in time") from None


def _pipe() -> tuple[int, int]:
    if _pipes:
        return _pipes.pop()
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_OCTETS)
    except OSError:
        pass  # over the user's pipe quota: it works at the default size too
    return reader, writer
