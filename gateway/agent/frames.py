"""Frames between the processes of a node: four octets of length, most significant first, then one JSON object.

Everything that travels has a ``type``. The socket is whatever the process uses, plain or gevent's: only ``recv_into`` and
``sendall`` are called.
"""

import struct
from typing import Any, Protocol

import orjson

_LENGTH = struct.Struct(">I")
#: a whole snapshot of 100,000 consumers is about 30 MB; what claims to be larger than this is not ours
LARGEST = 1 << 30

Message = dict[str, Any]


class Stream(Protocol):
    """The part of a socket that frames need."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Read what is there into the buffer; 0 at the end of the stream."""


class FrameError(Exception):
    """The peer does not speak this protocol, or went away in the middle of a frame."""


def frame(body: bytes) -> bytes:
    """Return the frame of a message that is encoded already."""
    return _LENGTH.pack(len(body)) + body


def encode(message: Message) -> bytes:
    """Return the frame of a message; ``orjson.Fragment`` values go in as they are."""
    return frame(orjson.dumps(message))


def receive_body(stream: Stream) -> bytearray | None:
    """Read one frame and return its octets, not decoded; ``None`` at the end of the stream. Raises FrameError, OSError."""
    head = _exactly(stream, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > LARGEST:
        raise FrameError(f"a frame of {length} octets")
    body = _exactly(stream, length)
    if body is None:
        raise FrameError("the stream ended in the middle of a frame")
    return body


def receive(stream: Stream) -> Message | None:
    """Read one message; ``None`` at the end of the stream. Raises FrameError, OSError."""
    body = receive_body(stream)
    if body is None:
        return None
    try:
        message = orjson.loads(body)
    except ValueError as error:
        raise FrameError(f"a frame that is not JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise FrameError("a message without a type")
    return message


def _exactly(stream: Stream, size: int) -> bytearray | None:
    """Read ``size`` octets; ``None`` when the stream ended before the first one."""
    octets = bytearray(size)
    view = memoryview(octets)
    at = 0
    while at < size:
        received = stream.recv_into(view[at:])
        if not received:
            if at:
                raise FrameError("the stream ended in the middle of a frame")
            return None
        at += received
    return octets
