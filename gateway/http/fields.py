"""A block of header fields, checked and split (RFC 9112, section 5).

Programs send the same lines again and again, whole heads less often. So what a line means is remembered: a line seen before costs a
look in a dict, a new one a match of a strict pattern. That is faster than a callback for each field from a parser written in C (nine
fields cost 3.1 µs with llhttp). llhttp is the judge in the tests: what is accepted here, it must accept.
"""

import re
from typing import Any

from gateway.http.errors import ProtocolError
from gateway.http.guards import NEVER_NAMED
from gateway.http.headers import Field, lower_name

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

#: A token, a colon right behind it, a value without control characters. A folded line begins with white space and so does not fit.
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff]+(?:[ \t]+[\x21-\x7e\x80-\xff]+)*)?)[ \t]*")

class Line:
    """What a line means."""

    __slots__ = ("field", "lowered", "value")

    def __init__(self, lowered: bytes, name: bytes, value: bytes) -> None:
        self.lowered = lowered
        self.value = value
        self.field: Any = (name, value)  # one object for every message that has the line


#: Emptied when full; lines that are long, or whose values are secret or seldom the same, are not remembered.
_lines: dict[bytes, Line] = {}
_LINES_MOST = 8192
_LONGEST_LINE = 256
_NOT_REMEMBERED = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"set-cookie", b"traceparent", b"x-request-id"})


def read_fields(block: bytes) -> tuple[list[Field], dict[bytes, bytes]]:
    """Return the fields of a block that ends with an empty line and has no other, and their index. Raises ProtocolError."""
    if len(block) < 4:
        return [], {}
    octets = block.split(b"\r\n")
    del octets[-2:]
    lines = [_lines.get(line) or _learn(line) for line in octets]
    index = {line.lowered: line.value for line in lines}
    return [line.field for line in lines], index if len(index) == len(lines) else _joined(lines)


def _learn(octets: bytes) -> Line:
    """Check a line that is new."""
    match = _LINE.fullmatch(octets)
    if match is None:
        raise ProtocolError(f"{octets[:80]!r} is no header field", code="bad_header")
    name, value = match.groups()
    lowered = lower_name(name)
    if b"_" in lowered and lowered.replace(b"_", b"-") in _DISGUISED:
        raise ProtocolError(f"{name!r} is taken for another field by CGI programs", code="bad_header")
    line = Line(lowered, name, value)
    if len(octets) <= _LONGEST_LINE and lowered not in _NOT_REMEMBERED:
        if len(_lines) >= _LINES_MOST:
            _lines.clear()
        _lines[octets] = line
    return line


def _joined(lines: list[Line]) -> dict[bytes, bytes]:
    """Index fields of which some come twice."""
    index: dict[bytes, bytes] = {}
    for line in lines:
        lowered = line.lowered
        earlier = index.get(lowered)
        if earlier is None:
            index[lowered] = line.value
        elif lowered in SINGLE:
            code = "bad_framing" if lowered == b"content-length" else "repeated_header"
            raise ProtocolError(f"{lowered!r} is repeated", code=code)
        else:
            index[lowered] = earlier + b", " + line.value
    return index
