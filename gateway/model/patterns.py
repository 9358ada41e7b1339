"""Patterns of a configuration: paths, hosts, client networks, values. Read once, matched many times.

A path pattern is one of

* ``/users``: a prefix that ends on a segment boundary (``/users``, ``/users/``, ``/users/42``, not ``/usersmith``);
* ``=/users``: this path and no other;
* ``/users/{id}``: a template of the whole path; a capture is one segment that is not empty, and a last ``{rest...}`` takes
  all remaining segments, none included;
* ``~^/v[0-9]+/``: a regular expression, searched in the path; named groups are captures.

They apply to the normalised path. Captures of one segment are percent-decoded; captures that may span segments are kept as
they are, because decoding would make an encoded slash look like a real one.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, unquote

from gateway.http.errors import ProtocolError
from gateway.http.target import normalise_path
from gateway.model.regex import compile_regex, literal_prefix

Kind = Literal["prefix", "exact", "template", "regex"]
_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
#: Nothing to normalise, and no segment that begins with a dot: nearly every path, and a tenth of the cost.
_PLAIN = re.compile(r"(?:/(?!\.)[A-Za-z0-9._~!$&'()*+,;=:@{}-]*)+")
#: What a segment is worth: the lower, the more specific. Patterns are compared segment by segment, from the left.
LITERAL, REGEX, CAPTURE, REST, OPEN = range(5)


class PathPattern:
    """A path pattern, taken apart. Raises ValueError with a sentence for whoever wrote it."""

    __slots__ = ("text", "kind", "literal", "segments", "captures", "rest", "regex", "rank")

    def __init__(self, text: str) -> None:
        self.text = text
        #: names of captures by position in ``path.split("/")``
        self.captures: tuple[tuple[int, str], ...] = ()
        #: name of the capture that takes the remaining segments
        self.rest = ""
        self.regex: re.Pattern[str] | None = None
        if text.startswith("~"):
            self.kind: Kind = "regex"
            self.regex = compile_regex(text[1:])
            prefix = literal_prefix(text[1:])
            # only whole segments: in ``^/files/img-[0-9]+`` all that is certain are those before the last slash,
            # and every path has the empty one before its first slash
            self.segments: tuple[str | None, ...] = tuple(prefix.split("/")[:-1]) or ("",)
            self.literal = prefix[: max(prefix.rfind("/"), 0)]
            self.rank: tuple[int, ...] = (LITERAL,) * len(self.segments) + (REGEX, -len(prefix), -len(text))
            return
        path = _normal(text.removeprefix("="))
        if "{" in path or "}" in path:
            if text.startswith("="):
                raise ValueError("a template fits whole paths already: leave the = out")
            self.kind = "template"
            self._read_template(path)
            return
        self.kind = "exact" if text.startswith("=") else "prefix"
        self.literal = path if self.kind == "exact" else path.rstrip("/")
        self.segments = tuple(self.literal.split("/")) if self.literal else ()
        self.rank = (LITERAL,) * len(self.segments) + ((OPEN,) if self.kind == "prefix" else ())

    def _read_template(self, path: str) -> None:
        segments: list[str | None] = []
        captures: list[tuple[int, str]] = []
        parts = path.split("/")
        for index, part in enumerate(parts):
            found = _CAPTURE.fullmatch(part)
            if not found:
                if "{" in part or "}" in part:
                    raise ValueError(f"{part} is no capture: one is a whole segment, {{id}}, or a last {{rest...}}; use a ~regex for less")
                segments.append(part)
            elif found[1] in {name for _, name in captures}:
                raise ValueError(f"the capture {{{found[1]}}} is there twice")
            elif not found[2]:
                segments.append(None)
                captures.append((index, found[1]))
            elif index != len(parts) - 1:
                raise ValueError(f"{part} takes all remaining segments, so it must come last")
            else:
                self.rest = found[1]
        self.segments, self.captures = tuple(segments), tuple(captures)
        first = segments.index(None) if None in segments else len(segments)
        self.literal = "/".join(part or "" for part in segments[:first])
        self.rank = tuple(LITERAL if part is not None else CAPTURE for part in segments) + ((REST,) if self.rest else ())

    def captured(self, path: str) -> dict[str, str] | None:
        """Return the captures of a path that fits (often none: ``{}``), else ``None``."""
        if self.kind == "prefix":
            literal = self.literal
            fits = path.startswith(literal) and (len(path) == len(literal) or path[len(literal)] == "/" or not literal)
            return {} if fits else None
        if self.kind == "exact":
            return {} if path == self.literal else None
        if self.regex is not None:
            found = self.regex.search(path)
            return None if found is None else groups_of(found)
        parts = path.split("/")
        segments = self.segments
        if len(parts) < len(segments) or (len(parts) > len(segments) and not self.rest):
            return None
        for segment, part in zip(segments, parts, strict=False):
            if part != segment and (segment is not None or not part):
                return None
        return self.take(parts)

    def take(self, parts: list[str]) -> dict[str, str]:
        """Return the captures, given ``path.split("/")`` of a path that fits this template."""
        values = {}
        for index, name in self.captures:
            part = parts[index]
            values[name] = unquote(part) if "%" in part else part
        if self.rest:
            values[self.rest] = "/".join(parts[len(self.segments) :])
        return values

    def names(self) -> frozenset[str]:
        """Return the names of all captures."""
        names = {name for _, name in self.captures} | ({self.rest} if self.rest else set())
        return frozenset(names | set(self.regex.groupindex)) if self.regex is not None else frozenset(names)

    def __repr__(self) -> str:
        return f"PathPattern({self.text!r})"


def groups_of(found: re.Match[str]) -> dict[str, str]:
    """Return the named groups that took part in a match."""
    return {name: value for name, value in found.groupdict().items() if value is not None}


def _normal(path: str) -> str:
    """Return a path as requests have it once it is normalised, braces kept. Raises ValueError on what none of them can have."""
    if _PLAIN.fullmatch(path):
        return path
    if not path.startswith("/"):
        raise ValueError("a path begins with /, =/ or ~")
    if "?" in path:
        raise ValueError("a path has no ?: conditions on query parameters go into query")
    if "#" in path or any(letter <= " " or letter == "\x7f" for letter in path):
        raise ValueError("a path has no #, no spaces and no control characters: write them percent-encoded, as clients do")
    return "/".join(part if "{" in part or "}" in part else _normal_part(part) for part in path.split("/"))


def _normal_part(part: str) -> str:
    try:
        normal = normalise_path("/" + quote(part, safe="%!$&'()*+,;=:@"))[1:]
    except ProtocolError as error:
        raise ValueError(f"no request has this path: {error.detail}") from None
    if part and not normal:
        raise ValueError("a path has no . and .. segments: they are resolved in requests before matching")
    return normal


@lru_cache(32768)
def parse_path(text: str) -> PathPattern:
    """Read a path pattern; the same text gives the same object."""
    return PathPattern(text)


def check_pattern(text: str) -> str | None:
    """Return what is wrong with a path pattern, or ``None``."""
    try:
        parse_path(text)
    except ValueError as error:
        return str(error)
    return None


def compile_path(text: str) -> Callable[[str], bool]:
    """Return a test of a normalised path against a pattern."""
    pattern = parse_path(text)
    if pattern.kind == "exact":
        return pattern.literal.__eq__
    if pattern.regex is not None:
        search = pattern.regex.search
        return lambda path: search(path) is not None
    if pattern.kind == "prefix":
        literal, below = pattern.literal, pattern.literal + "/"
        if not literal:
            return lambda path: True
        return lambda path: path == literal or path.startswith(below)
    return lambda path: pattern.captured(path) is not None


def normal_host(text: str) -> str:
    """Return a host pattern as requests have hosts: lower case, IPv6 compressed and in brackets."""
    if text.startswith("["):
        return f"[{ipaddress.IPv6Address(text[1:-1]).compressed}]"
    return text.lower()


def check_host(text: str) -> str | None:
    """Return what is wrong with a host pattern, or ``None``."""
    if text.startswith("[") and text.endswith("]"):
        try:
            ipaddress.IPv6Address(text[1:-1])
        except ValueError as error:
            return str(error)
        return None
    if text == "*":
        return "a host is a name or *.name: leave hosts out to take any"
    if ":" in text or "/" in text:
        return "a host is a name without scheme, port and path"
    if not _HOST.fullmatch(text.lower()) or len(text) > 255:
        return "a host is a name such as api.example.com, or *.example.com for every name below"
    return None


def check_network(text: str) -> str | None:
    """Return what is wrong with a client network, or ``None``."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        return str(error)
    return None


def compile_networks(networks: Iterable[str]) -> Callable[[str], bool]:
    """Return a test of a client address against networks; text that is no address is in none."""
    masks: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for text in networks:
        network = ipaddress.ip_network(text)
        masks[network.version].append((int(network.netmask), int(network.network_address)))

    def inside(client: str) -> bool:
        version, number = _address(client)
        return any(number & mask == network for mask, network in masks.get(version, ()))

    return inside


@lru_cache(4096)
def _address(client: str) -> tuple[int, int]:
    """Version and number of an address, IPv4 in IPv6 as IPv4; ``inet_pton`` costs a fifth of what ``ipaddress`` does."""
    try:
        if ":" not in client:
            return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, client))
        number = int.from_bytes(socket.inet_pton(socket.AF_INET6, client.partition("%")[0]))
    except OSError:
        return 0, 0
    return (4, number & 0xFFFFFFFF) if number >> 32 == 0xFFFF else (6, number)


def check_value(text: str) -> str | None:
    """Return what is wrong with a condition on a header or a query parameter, or ``None``."""
    try:
        compile_value(text)
    except ValueError as error:
        return str(error)
    return None


def compile_value(text: str) -> Callable[[str], bool]:
    """Return a test of a value: exact text, ``~regex`` (searched), or empty = any value will do."""
    if not text:
        return lambda value: True
    if text.startswith("~"):
        search = compile_regex(text[1:]).search
        return lambda value: search(value) is not None
    return text.__eq__
