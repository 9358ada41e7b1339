"""What requests and responses share: finding a head, then delivering the content (RFC 9112, sections 2 and 6).

Theory. A parser holds the octets of an unfinished head and looks at each head once, when it is complete; so the verdict on a head
never depends on how the network cut it. What can be refused earlier (a bare LF, a control character, a line that is too long) is
refused as soon as it is there, with the same verdict. Between heads the parser is in one of a few states: content of known length,
chunked content, content until the end of the connection, octets of another protocol, nothing more expected.

An error is final: every later ``feed`` raises it again. Messages completed before it stay available.
"""

from typing import Protocol

from gateway.http.chunked import ChunkReader
from gateway.http.errors import ProtocolError
from gateway.http.fields import FORBIDDEN_OCTETS
from gateway.http.headers import Headers

#: between messages; inside a head; whole heads kept back; in content of each kind; octets of another protocol; nothing is expected;
#: after an error
IDLE, HEAD, WAITING, LENGTH, CHUNKED, UNTIL_CLOSE, OPAQUE, DONE, BROKEN = range(9)


class Limits(Protocol):
    """The caps that a parser keeps; ``model.listener.HttpLimits`` has them."""

    @property
    def max_line_bytes(self) -> int:
        """Longest request or status line."""

    @property
    def max_headers(self) -> int:
        """Most fields in a head."""

    @property
    def max_header_bytes(self) -> int:
        """Most octets of fields in a head."""


class Inflow:
    """Content of one message as it arrives. The reader takes ``chunks`` away; the parser adds at the end."""

    __slots__ = ("chunks", "complete", "length", "trailers")

    def __init__(self, length: int | None, complete: bool = False) -> None:
        self.chunks: list[bytes] = []
        self.complete = complete
        #: all of it in octets; ``None`` when not known beforehand
        self.length = length
        #: set together with ``complete``
        self.trailers: Headers | None = None


class MessageParser:
    """What both sides share: finding heads, delivering content."""

    __slots__ = (
        "_checked", "_chunks", "_error", "_held", "_inflow", "_left", "_most_fields", "_most_line", "_most_octets", "_state",
        "leftover",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._most_line = limits.max_line_bytes
        self._most_fields = limits.max_headers
        self._most_octets = limits.max_header_bytes
        self._state = IDLE
        self._held = b""  # of an unfinished head
        self._checked = 0  # octets of it that were looked at; 0 = not even the first line
        self._inflow: Inflow | None = None
        self._left = 0
        self._chunks: ChunkReader | None = None
        self._error: ProtocolError | None = None
        #: octets that are not HTTP, or that nobody asked for
        self.leftover = b""

    @property
    def in_head(self) -> bool:
        """A head has begun and is not complete."""
        return self._state == HEAD

    def take_over(self) -> tuple[bytes, int]:
        """Leave the rest of a content of known length to the caller: what has arrived of it, and how many octets are to come."""
        inflow = self._inflow
        assert inflow is not None and self._state == LENGTH
        received = b"".join(inflow.chunks)
        inflow.chunks.clear()
        self._inflow = None
        self._state = self._state_after()
        return received, self._left

    def _check_octets(self, block: bytes, start: int) -> None:
        """Refuse fields that are wrong or too many already, whatever may follow."""
        if FORBIDDEN_OCTETS.search(block[: self._most_octets], start):
            raise ProtocolError("a bare CR, a bare LF or a control character in a header", code="bad_header")
        if len(block) > self._most_octets:
            raise ProtocolError("the header is too large", status=431, code="header_too_large")

    def _fail(self, error: ProtocolError) -> None:
        self._error = error
        self._state = BROKEN
        self._held = b""

    def _again(self) -> ProtocolError:
        error = self._error
        assert error is not None
        return ProtocolError(error.detail, status=error.status, code=error.code)

    def _hold(self, held: bytes) -> None:
        """Keep the beginning of a head, unless it can be refused already."""
        end = held.find(b"\n")
        if end < 0:
            self._check_line_begun(held)
        else:
            if not self._checked:
                line = held[:end]
                self._check_line(line[:-1] if line.endswith(b"\r") else held[: end + 1])  # a bare LF is part of the line
            # one octet back, because a CR is judged by what follows it
            self._check_octets(held[end + 1 :], max(0, self._checked - end - 2))
            self._checked = len(held)
        self._held = held
        self._state = HEAD

    def _release(self, data: bytes) -> tuple[bytes, int]:
        """Put what was held in front of ``data``; also returns where an end of head may begin at the earliest."""
        held = self._held
        self._held = b""
        self._state = IDLE
        return held + data, max(0, len(held) - 3)

    def _check_line(self, line: bytes) -> None:
        raise NotImplementedError

    def _check_line_begun(self, line: bytes) -> None:
        raise NotImplementedError

    def _content(self, data: bytes, at: int) -> bytes:
        """Deliver content, and return what follows the message."""
        inflow = self._inflow
        assert inflow is not None
        if self._state == LENGTH:
            rest = len(data) - at
            if rest < self._left:
                inflow.chunks.append(data[at:] if at else data)
                self._left -= rest
                return b""
            end = at + self._left
            inflow.chunks.append(data[at:end])
            self._left = 0
            self._finish(inflow, None)
            return data[end:]
        if self._state == UNTIL_CLOSE:
            inflow.chunks.append(data[at:] if at else data)
            return b""
        assert self._chunks is not None
        pieces: list[bytes] = []
        try:
            end_of_message = self._chunks.feed(data[at:] if at else data, pieces)
        finally:
            if pieces:  # one piece a feed, however small the peer's chunks are
                inflow.chunks.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if end_of_message is None:
            return b""
        trailers, remainder = end_of_message
        self._finish(inflow, trailers)
        return remainder

    def _finish(self, inflow: Inflow, trailers: Headers | None) -> None:
        inflow.trailers = trailers
        inflow.complete = True
        self._inflow = None
        self._chunks = None
        self._state = self._state_after()

    def _state_after(self) -> int:
        raise NotImplementedError

    def _expect(self, inflow: Inflow, chunked: bool) -> None:
        """Get ready for content."""
        self._inflow = inflow
        if chunked:
            self._chunks = ChunkReader()
            self._state = CHUNKED
        elif inflow.length is None:
            self._state = UNTIL_CLOSE
        else:
            self._left = inflow.length
            self._state = LENGTH
