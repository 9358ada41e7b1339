"""A block of header fields, checked and split by llhttp.

llhttp is asked for one thing only: the fields of one complete block, strictly (RFC 9112, section 5). Where a message begins and
ends is decided here in Python, from those fields. So no state of the C parser outlives a block, a HEAD response or an upgrade
needs no special object, and pipelined requests are found by us, with exact offsets.
"""

import re

from httptools import HttpParserError, HttpResponseParser

from gateway.http.errors import ProtocolError
from gateway.http.guards import NEVER_NAMED
from gateway.http.headers import Field, lower_name, lowered_names

#: What no head may contain, wherever it is cut: control characters other than tab, a bare CR, a bare LF.
FORBIDDEN_OCTETS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|(?:[^\r]|\A)\n")

#: Fields that mean two things when they come twice. Every framing field is here.
SINGLE = frozenset(
    {
        b"authorization", b"content-length", b"content-location", b"content-range", b"content-type", b"expect", b"host", b"location",
        b"max-forwards", b"origin", b"proxy-authorization", b"transfer-encoding",
    }
)  # fmt: skip

#: What must not come with an underscore: many servers hand ``Content_Length`` to programs as if it were ``Content-Length``.
_DISGUISED = SINGLE | NEVER_NAMED | {b"connection", b"upgrade"}

#: llhttp never waits for content after a 204, so the same parser takes the next block.
_START_LINE = b"HTTP/1.1 204 \r\n"


class FieldReader:
    """Splits blocks of fields; one per connection, used by requests, responses and trailers alike.

    Programs send the same fields again and again on a connection, so the result for a block that came twice in a row is kept: the
    third costs 0.4 µs instead of 3, and one that differs costs 0.05 more.
    """

    __slots__ = ("_last", "_parser", "_result", "_seen")

    def __init__(self) -> None:
        self._seen: list[Field] = []
        self._parser = _parser_into(self._seen)
        self._last = b""
        self._result: tuple[list[Field], dict[bytes, bytes]] | None = None

    def read(self, block: bytes) -> tuple[list[Field], dict[bytes, bytes]]:
        """Return the fields of a block that ends with an empty line and has no other, and their index. Raises ProtocolError."""
        repeated = block == self._last
        if repeated:
            result = self._result
            if result is not None:
                return result[0].copy(), result[1].copy()
        seen = self._seen
        try:
            self._parser.feed_data(_START_LINE + block)
        except HttpParserError as error:
            seen.clear()
            self._parser = _parser_into(seen)
            raise ProtocolError(f"a broken header: {error}", code=_code(block, str(error))) from None
        fields = seen[:]
        seen.clear()
        try:
            index = {lowered_names[name]: value for name, value in fields}
        except KeyError:
            index = _index(fields)
        else:
            if len(index) != len(fields):
                index = _index(fields)
        if repeated:
            self._result = fields.copy(), index.copy()
        else:
            self._last = block
            self._result = None
        return fields, index


class _Callbacks:
    """What httptools looks for on its protocol object; absent attributes cost it an exception each."""

    on_body = on_chunk_complete = on_chunk_header = on_headers_complete = on_message_begin = on_message_complete = on_status = on_url = None

    def __init__(self, seen: list[Field]) -> None:
        append = seen.append

        def on_header(name: bytes, value: bytes) -> None:
            append((name, value.strip()))  # llhttp leaves white space after a value; other than space and tab it refuses

        self.on_header = on_header


def _parser_into(seen: list[Field]) -> HttpResponseParser:
    parser = HttpResponseParser(_Callbacks(seen))
    # "Connection: close" in one block says nothing about the next: connections are our business, not llhttp's
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _code(block: bytes, reason: str) -> str:
    """Name an error of llhttp. What is wrong anywhere comes first, because that is what an unfinished block is refused for."""
    about_framing = "Content-Length" in reason or "Transfer-Encoding" in reason
    return "bad_framing" if about_framing and not FORBIDDEN_OCTETS.search(block) else "bad_header"


def _index(fields: list[Field]) -> dict[bytes, bytes]:
    """As the short way in ``read``, for new names, names with an underscore and repeats."""
    index: dict[bytes, bytes] = {}
    for name, value in fields:
        lowered = lower_name(name)
        if b"_" in lowered and lowered.replace(b"_", b"-") in _DISGUISED:
            raise ProtocolError(f"{name!r} is taken for another field by CGI programs", code="bad_header")
        earlier = index.get(lowered)
        if earlier is None:
            index[lowered] = value
        elif lowered in SINGLE:
            raise ProtocolError(f"{name!r} is repeated", code="repeated_header")
        else:
            index[lowered] = earlier + b", " + value
    return index
