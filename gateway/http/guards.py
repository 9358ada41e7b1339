"""The rules of RFC 9110 and RFC 9112 that a head must keep, beyond the grammar of its fields.

Each rule here has been a smuggling or a routing attack against some pair of servers, so none is tolerant: the gateway may be in
front of a server, or behind a proxy, that reads the same octets differently.
"""

import re
from typing import TypeVar

from gateway.http.errors import ProtocolError
from gateway.http.target import Authority, agree, parse_authority, parse_target

#: As far as a request line can be read: enough to refuse what is not HTTP at once (a TLS hello) and to answer 501 and 505.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
#: The same where nothing in the target needs a second look: no escape, no segment that begins with a dot, no other form.
_PLAIN_REQUEST_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (((?:/(?!\.)[A-Za-z0-9._~!$&'()*+,;=:@-]*)+)(?:\?([\x21\x22\x24-\x7e]*))?) HTTP/(1\.[01])"
)
_REQUEST_LINE_BEGUN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: (?:[\x21-\x7e]+(?: (?:[\x21-\x7e]+\r?)?)?)?)?|\r?")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_STATUS_LINE_BEGUN = re.compile(rb"(?:[HTP/0-9. ]{0,13}|HTTP/1\.[01] [1-5][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?)\r?")
_LOOKED_AT = 256
_MOST_DIGITS = 18  # less than 2 ** 63
_ZERO = 0x30
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

#: RFC 9110 and its registry (those with users). Anything else is 501: rules that list
#: methods could not mean it.
METHODS = frozenset(
    {
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
        "ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY",
        "PROPFIND", "PROPPATCH", "PURGE", "REBIND", "REPORT", "SEARCH", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
    }
)  # fmt: skip

_METHODS = {name.encode(): name for name in METHODS}

#: What ``Connection`` may not name: a client could make the gateway drop what a proxy in front of it, or a rule, relies on.
NEVER_NAMED = frozenset(
    {
        b"authorization", b"content-length", b"content-type", b"cookie", b"forwarded", b"host", b"traceparent", b"via", b"x-forwarded-for",
        b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip", b"x-request-id",
    }
)  # fmt: skip

_Understood = TypeVar("_Understood")

#: Small memories of what was understood before, by exact octets, for callers to look into first; emptied when full. ``None`` is never
#: in one, so that an absent field needs no test of its own.
_MOST_REMEMBERED = 2048
_LONGEST_REMEMBERED = 256
request_lines: "dict[bytes | None, RequestLine]" = {}
status_lines: "dict[bytes | None, StatusLine]" = {}
hosts: dict[bytes | None, Authority] = {}
connections: dict[bytes | None, frozenset[bytes]] = {}

#: method, target as sent, version, then the ``Target``: flat, so that the garbage collector forgets it
RequestLine = tuple[str, bytes, str, str, str, Authority | None, str]
#: status, reason, version
StatusLine = tuple[int, bytes, str]


def request_line(line: bytes, most: int) -> RequestLine:
    """Read a whole request line, without its CRLF, of at most ``most`` octets. Raises ProtocolError (400, 414, 501, 505)."""
    if len(line) > most:
        check_request_line_begun(line, most)
        raise ProtocolError("the request line is too long", status=414, code="uri_too_long")
    understood: RequestLine
    match = _PLAIN_REQUEST_LINE.fullmatch(line)
    if match is not None:
        name, raw, path, query, version = match.groups()
        known = _METHODS.get(name)
        if known is not None and known != "CONNECT":
            understood = (known, raw, version.decode(), path.decode(), query.decode() if query else "", None, "")
            remember(request_lines, line, understood)
            return understood
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(f"{line[:80]!r} is no request line", code="bad_request_line")
    major, minor = match[3], match[4]
    if major != b"1" or minor not in (b"0", b"1"):
        raise ProtocolError(f"HTTP/{major.decode()}.{minor.decode()} is not spoken here", status=505, code="version_not_supported")
    method = match[1].decode()
    if method not in METHODS:
        raise ProtocolError(f"method {method[:40]!r} is not known", status=501, code="method_not_implemented")
    raw = match[2]
    understood = (method, raw, f"1.{minor.decode()}", *parse_target(method, raw.decode()))
    remember(request_lines, line, understood)
    return understood


def check_request_line_begun(line: bytes, most: int) -> None:
    """Refuse a beginning that no request line has, at once or when it is too long. Raises ProtocolError."""
    # looking at every octet again for every octet that comes would be an attack
    if not _REQUEST_LINE_BEGUN.fullmatch(line[: most if len(line) > most else _LOOKED_AT]):
        raise ProtocolError(f"{line[:80]!r} begins no request line", code="bad_request_line")
    if len(line) > most + 1:  # the last may be the CR of the line end
        raise ProtocolError("the request line is too long", status=414, code="uri_too_long")


def status_line(line: bytes, most: int) -> StatusLine:
    """Read a whole status line, without its CRLF. Raises ProtocolError."""
    match = _STATUS_LINE.fullmatch(line) if len(line) <= most else None
    if match is None:
        raise ProtocolError(f"{line[:80]!r} is no status line", code="bad_status_line")
    understood = (int(match[2]), match[3] or b"", f"1.{match[1].decode()}")
    remember(status_lines, line, understood)
    return understood


def check_status_line_begun(line: bytes, most: int) -> None:
    """Refuse a beginning that no status line has, at once or when it is too long. Raises ProtocolError."""
    if len(line) > most + 1 or not _STATUS_LINE_BEGUN.fullmatch(line[: most if len(line) > most else _LOOKED_AT]):
        raise ProtocolError(f"{line[:80]!r} begins no status line", code="bad_status_line")


def request_framing(index: dict[bytes, bytes], http11: bool) -> tuple[int | None, bool]:
    """Return the declared length and whether the content is chunked; ``(None, False)`` = no content. Raises ProtocolError (400, 501)."""
    coding, length = index.get(b"transfer-encoding"), index.get(b"content-length")
    if coding is None:
        return (None if length is None else content_length(length)), False
    if not http11:
        raise ProtocolError("Transfer-Encoding in HTTP/1.0", code="bad_framing")
    if length is not None:
        raise ProtocolError("Content-Length beside Transfer-Encoding", code="bad_framing")
    if coding.lower() != b"chunked":
        codings = [word.strip(b" \t").lower() for word in coding.split(b",")]
        if codings[-1] == b"chunked" and codings.count(b"chunked") == 1 and all(map(_TOKEN.fullmatch, codings)):
            raise ProtocolError(f"transfer coding {coding[:80]!r} is not known", status=501, code="coding_not_implemented")
        raise ProtocolError(f"{coding[:80]!r} is no Transfer-Encoding", code="bad_framing")
    return None, True


def response_framing(index: dict[bytes, bytes], http11: bool, status: int, method: str) -> tuple[int | None, bool]:
    """Return content length and whether the content is chunked; ``(None, False)`` = until the connection ends. Raises ProtocolError.

    Fields that a response without content must not have are an error, but for ``Content-Length: 0`` in a 204 or 1xx, which is
    frequent and harmless; the caller drops it.
    """
    length, chunked = request_framing(index, http11)
    if status == 204 or status < 200:
        if chunked or length:
            raise ProtocolError(f"a {status} with content", code="bad_framing")
        return 0, False
    if method == "HEAD" or status == 304 or (method == "CONNECT" and status < 300):
        return 0, False
    return length, chunked


def content_length(value: bytes) -> int:
    """Read a Content-Length in the one way to write a number: digits, no zero in front. Raises ProtocolError."""
    if not value.isdigit() or len(value) > _MOST_DIGITS or (value[0] == _ZERO and len(value) > 1):
        raise ProtocolError(f"{value[:60]!r} is no Content-Length", code="bad_framing")
    return int(value)


def connection_tokens(value: bytes) -> frozenset[bytes]:
    """Read ``Connection``, in lower case. Raises ProtocolError."""
    known = connections.get(value)
    if known is not None:
        return known
    tokens = frozenset(token for word in value.split(b",") if (token := word.strip(b" \t").lower()))
    if not all(map(_TOKEN.fullmatch, tokens)):
        raise ProtocolError(f"{value[:80]!r} is no list of connection options", code="bad_connection")
    if not tokens.isdisjoint(NEVER_NAMED):
        raise ProtocolError(f"Connection may not name {value[:80]!r}", code="bad_connection")
    remember(connections, value, tokens)
    return tokens


def host(index: dict[bytes, bytes], http11: bool) -> Authority | None:
    """Read ``Host``; ``None`` in HTTP/1.0 without one. Raises ProtocolError."""
    value = index.get(b"host")
    if value is None:
        if http11:
            raise ProtocolError("no Host", code="bad_host")
        return None
    known = parse_authority(value.decode("latin-1"))
    remember(hosts, value, known)
    return known


def check_same_host(authority: Authority, scheme: str, named: Authority | None) -> None:
    """Refuse a target that names one host while Host names another. Raises ProtocolError."""
    if named is not None and not agree(authority, named, scheme):
        raise ProtocolError("the target and Host name different hosts", code="host_mismatch")


def remember(memory: dict[bytes | None, _Understood], octets: bytes, understood: _Understood) -> None:
    """Keep what was understood, within bounds."""
    if len(octets) <= _LONGEST_REMEMBERED:
        if len(memory) >= _MOST_REMEMBERED:
            memory.clear()
        memory[octets] = understood
