"""Request targets and authorities (RFC 9112, section 3.2; RFC 3986): one normal form, or a refusal.

A path that two servers may read differently is how rules are walked around, so the gateway routes on, and forwards, one spelling:

- unreserved characters are decoded, every other escape keeps its two digits in upper case, so ``%2F`` is never a separator;
- dot segments are removed, and never climb above the root;
- characters that a URI cannot carry but browsers send (``"<>[]^`{|}``) are escaped;
- refused: a broken escape, ``%00``, a backslash, a fragment, and a dot segment that only some servers would see: one that is
  spelled with ``%2F`` or ``%5C``, or followed by a path parameter (``/..;/``).
"""

import re
from ipaddress import IPv6Address
from typing import NamedTuple

from gateway.http.errors import ProtocolError

#: Plain paths, which are nearly all: nothing to decode and no segment that begins with a dot.
_PLAIN = re.compile(r"(?:/(?!\.)[A-Za-z0-9._~!$&'()*+,;=:@-]*)+")
_ESCAPE = re.compile(r"%(..?)?", re.DOTALL)
_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_STRAY = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]")
_HIDDEN_DOTS = re.compile(r"(?:/|%2F|%5C)\.{1,2}(?:/|%2F|%5C|;|$)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(.*)")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_PORT = re.compile(r"[0-9]{1,5}")
DEFAULT_PORTS = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """Where a message is meant to go: the name in lower case (IPv6 in brackets), the port when one is written."""

    host: str
    port: int | None

    @property
    def text(self) -> bytes:
        """As ``Host`` says it."""
        return (self.host if self.port is None else f"{self.host}:{self.port}").encode("ascii")


#: path and query in normal form; the authority in absolute and authority form; the scheme in absolute form
Target = tuple[str, str, Authority | None, str]


def parse_target(method: str, raw: str) -> Target:
    """Read a request target of visible ASCII. Raises ProtocolError."""
    if "#" in raw:
        raise ProtocolError("the request target has a fragment", code="bad_target")
    if method == "CONNECT":
        authority = parse_authority(raw)
        if authority.port is None:
            raise ProtocolError("CONNECT needs host:port", code="bad_target")
        return raw, "", authority, ""
    if raw.startswith("/"):
        path, _, query = raw.partition("?")
        return normalise_path(path), query, None, ""
    if raw == "*":
        if method != "OPTIONS":
            raise ProtocolError("only OPTIONS may have the target *", code="bad_target")
        return "*", "", None, ""
    absolute = _SCHEME.fullmatch(raw)
    if absolute is None:
        raise ProtocolError(f"{raw[:200]!r} is no request target", code="bad_target")
    scheme, name, rest = absolute[1].lower(), absolute[2], absolute[3]
    if scheme not in DEFAULT_PORTS:
        raise ProtocolError(f"scheme {scheme[:40]!r} is not served here", code="bad_target")
    path, _, query = rest.partition("?")
    if not path and method == "OPTIONS" and "?" not in rest:
        path = "*"  # RFC 9112, section 3.2.4
    return path if path == "*" else normalise_path(path or "/"), query, parse_authority(name), scheme


def parse_authority(raw: str) -> Authority:
    """Read ``host``, ``host:port`` or ``[ipv6]:port``; user information is refused. Raises ProtocolError."""
    if raw.startswith("["):
        name, bracket, rest = raw[1:].partition("]")
        try:
            host = f"[{IPv6Address(name).compressed}]" if bracket and "%" not in name else ""
        except ValueError:
            host = ""
        colon, port = rest[:1], rest[1:]
    else:
        name, colon, port = raw.partition(":")
        host = name.rstrip(".").lower() if len(name) <= 255 and ".." not in name and _NAME.fullmatch(name) else ""
    if not host or (colon and colon != ":") or (port and (not _PORT.fullmatch(port) or int(port) > 65535)):
        raise ProtocolError(f"{raw[:200]!r} is no host", code="bad_host")
    return Authority(host, int(port) if port else None)


def agree(named: Authority, host: Authority, scheme: str) -> bool:
    """Tell whether the authority in the target and the one in Host are the same place."""
    if named.host != host.host:
        return False
    usual = DEFAULT_PORTS.get(scheme)
    if scheme:
        return (named.port or usual) == (host.port or usual)
    return host.port is None or host.port == named.port


def normalise_path(path: str) -> str:
    """Return the one spelling of a path that the gateway uses. Raises ProtocolError."""
    if _PLAIN.fullmatch(path):
        return path
    if "\\" in path:
        raise ProtocolError("a backslash in the path", code="bad_target")
    path = _STRAY.sub(_escaped, _ESCAPE.sub(_decoded, path))
    path = remove_dot_segments(path)
    if _HIDDEN_DOTS.search(path):
        raise ProtocolError("a dot segment that servers read differently", code="bad_target")
    return path


def _decoded(match: "re.Match[str]") -> str:
    digits = match[1] or ""
    if not _HEX.fullmatch(digits):
        raise ProtocolError("a broken escape in the path", code="bad_target")
    character = chr(int(digits, 16))
    if character == "\0":
        raise ProtocolError("%00 in the path", code="bad_target")
    return character if character in _UNRESERVED else "%" + digits.upper()


def _escaped(match: "re.Match[str]") -> str:
    return f"%{ord(match[0]):02X}"


def remove_dot_segments(path: str) -> str:
    """Resolve ``.`` and ``..`` (RFC 3986, section 5.2.4); empty segments stay."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
