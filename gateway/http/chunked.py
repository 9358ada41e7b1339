"""The chunked coding, received (RFC 9112, section 7.1): strict, bounded, and exact about where it ends."""

import re

from gateway.http.errors import ProtocolError
from gateway.http.fields import FORBIDDEN_OCTETS, read_fields
from gateway.http.guards import remember
from gateway.http.headers import Headers

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
#: White space around the size or inside an extension is refused although RFC 9112 lets a recipient tolerate it: tolerating it
#: differently is what the chunk extension attacks of 2025 were made of.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*")
_LARGEST = (1 << 63) - 1
_LONGEST_LINE = 1024
#: Octets of extensions beyond what honest chunk heads need; a signed upload spends 90 per 64 KiB and stays at zero.
_MOST_OVERHEAD = 16384
MOST_TRAILERS = 64
MOST_TRAILER_BYTES = 8192

#: Fields that decide framing, routing, authentication or the life of the connection: never after the content (RFC 9110, section 6.5.1).
FORBIDDEN_TRAILERS = frozenset(
    {
        b"authorization", b"connection", b"content-encoding", b"content-length", b"content-range", b"content-type", b"cookie",
        b"expect", b"forwarded", b"host", b"http2-settings", b"keep-alive", b"max-forwards", b"proxy-authenticate",
        b"proxy-authorization", b"proxy-connection", b"range", b"set-cookie", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"via",
        b"www-authenticate", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"x-real-ip",
    }
)  # fmt: skip

#: Size lines seen before, those without extensions. Servers send few different ones, and a flood of tiny chunks is cheaper to take.
_sizes: dict[bytes | None, int] = {}

_AT_SIZE, _IN_DATA, _AT_DATA_END, _IN_TRAILERS = range(4)


class ChunkReader:
    """Takes the octets of one chunked message; what it finds goes to the caller's ``Inflow``."""

    __slots__ = ("_checked", "_held", "_left", "_overhead", "_step")

    def __init__(self) -> None:
        self._step = _AT_SIZE
        self._held = b""  # of an unfinished line or block
        self._checked = 0  # octets of unfinished trailers that were looked at
        self._left = 0
        self._overhead = 0

    def feed(self, data: bytes, pieces: list[bytes]) -> tuple[Headers | None, bytes] | None:
        """Append content to ``pieces``. Returns trailers and the octets after the message once it is complete. Raises ProtocolError."""
        if self._held:
            data = self._held + data
            self._held = b""
        at, size = 0, len(data)
        while at < size:
            step = self._step
            if step == _IN_DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._step = _AT_DATA_END
            elif step == _AT_DATA_END:
                if data.startswith(b"\r\n", at):
                    at += 2
                    self._step = _AT_SIZE
                elif data[at:] == b"\r":
                    break
                else:
                    raise ProtocolError("a chunk is longer than its size", code="bad_chunk")
            elif step == _AT_SIZE:
                end = data.find(b"\n", at, at + _LONGEST_LINE)
                if end < 0:
                    if size - at >= _LONGEST_LINE:
                        raise ProtocolError("a chunk size line is too long", code="bad_chunk")
                    break
                line = data[at : end + 1]
                left = _sizes.get(line) or self._size_of(line)
                at = end + 1
                end = at + left
                if left and data.startswith(b"\r\n", end):  # all of it is here
                    pieces.append(data[at:end])
                    at = end + 2
                else:
                    self._left = left
                    self._step = _IN_DATA if left else _IN_TRAILERS
            elif data.startswith(b"\r\n", at):
                return None, data[at + 2 :]
            else:
                end = data.find(b"\r\n\r\n", at, at + MOST_TRAILER_BYTES)
                if end < 0:
                    self._check_unfinished(data[at:])
                    break
                return self._trailers(data[at : end + 4]), data[end + 4 :]
        self._held = data[at:]
        return None

    def _size_of(self, line: bytes) -> int:
        """Read a chunk size line that is not among the remembered ones."""
        match = _SIZE.fullmatch(line, 0, len(line) - 2)
        if match is None or not line.endswith(b"\r\n"):
            raise ProtocolError(f"{line[:60]!r} is no chunk size", code="bad_chunk")
        size = int(match[1], 16)
        if size > _LARGEST:
            raise ProtocolError("a chunk size is too large", code="bad_chunk")
        if b";" in line:
            self._overhead = max(0, self._overhead + len(line) - 16 - 2 * size)
            if self._overhead > _MOST_OVERHEAD:
                raise ProtocolError("too many octets of chunk extensions", code="bad_chunk")
        elif size:
            remember(_sizes, line, size)
        return size

    def _check_unfinished(self, block: bytes) -> None:
        # one octet back, because a CR is judged by what follows it
        if FORBIDDEN_OCTETS.search(block[:MOST_TRAILER_BYTES], max(0, self._checked - 1)):
            raise ProtocolError("a trailer has a bare CR, a bare LF or a control character", code="bad_trailer")
        if len(block) >= MOST_TRAILER_BYTES:
            raise ProtocolError("the trailers are too large", status=431, code="trailers_too_large")
        self._checked = len(block)

    def _trailers(self, block: bytes) -> Headers:
        try:
            fields, index = read_fields(block)
        except ProtocolError as error:
            raise ProtocolError(error.detail, code="bad_trailer") from None
        if len(fields) > MOST_TRAILERS:
            raise ProtocolError("too many trailers", status=431, code="trailers_too_large")
        if not FORBIDDEN_TRAILERS.isdisjoint(index):
            raise ProtocolError(f"{FORBIDDEN_TRAILERS.intersection(index)} not allowed after the content", code="bad_trailer")
        return Headers(fields, index)
