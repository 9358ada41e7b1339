"""Values with placeholders: compiled when the configuration loads, filled in per exchange, safe in a header.

What comes from outside (captures, query, names) may hold anything once it is percent-decoded, line breaks included.
It is put into the value percent-encoded again wherever HTTP could not carry it, so no value can end its header.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from urllib.parse import quote, unquote_plus

from gateway.api import Exchange

Fill = Callable[[Exchange], bytes]
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*(?::[^{}]+)?)\}|\{|\}")
_PRINTABLE = string.punctuation + " "


def safe(text: str) -> bytes:
    """Return text as octets for a header; what is not printable ASCII becomes percent-encoded UTF-8."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return quote(text, safe=_PRINTABLE, errors="replace").encode("ascii")


_WORDS: dict[str, Fill] = {
    "consumer": lambda exchange: b"" if exchange.consumer is None else exchange.consumer.name.encode(),
    "credential": lambda exchange: safe(exchange.credential),
    "client": lambda exchange: safe(exchange.client),
    "id": lambda exchange: safe(exchange.id),
    "route": lambda exchange: b"" if exchange.route is None else exchange.route.name.encode(),
    "method": lambda exchange: safe(exchange.request.method),
    "scheme": lambda exchange: safe(exchange.request.scheme),
    "host": lambda exchange: safe(exchange.request.host),
}


def _capture(name: str) -> Fill:
    return lambda exchange: safe(exchange.captures.get(name, ""))


def _header(name: str) -> Fill:
    lowered = name.lower().encode("ascii")
    return lambda exchange: exchange.request.headers.octets(lowered) or b""


def _response(name: str) -> Fill:
    lowered = name.lower().encode("ascii")
    return lambda exchange: (exchange.response.headers.octets(lowered) or b"") if exchange.response else b""


def _query(name: str) -> Fill:
    def query(exchange: Exchange) -> bytes:
        for part in exchange.request.query.split("&"):
            key, _, value = part.partition("=")
            if key == name or unquote_plus(key) == name:
                return safe(unquote_plus(value))
        return b""

    return query


def _metadata(key: str) -> Fill:
    def metadata(exchange: Exchange) -> bytes:
        known = exchange.consumer.metadata if exchange.consumer is not None else None
        return safe(known.get(key, "")) if known else b""

    return metadata


_KINDS: dict[str, Callable[[str], Fill]] = {
    "capture": _capture,
    "header": _header,
    "response": _response,
    "query": _query,
    "metadata": _metadata,
}


def compile_template(text: str) -> bytes | Fill:
    """Return the octets of a text without placeholders, else a function that makes them. Raises ValueError."""
    parts: list[bytes | Fill] = []
    literal = ""
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        literal += text[end : found.start()]
        end = found.end()
        if found[0] in ("{{", "}}"):
            literal += found[0][0]
        elif found[0] in ("{", "}"):
            raise ValueError(f"a lone {found[0]} in {text!r}; double it where it is meant")
        else:
            parts += [literal.encode("latin-1")] if literal else []
            parts.append(_fill(found[1]))
            literal = ""
    literal += text[end:]
    if not parts:
        return literal.encode("latin-1")
    parts += [literal.encode("latin-1")] if literal else []
    return _join(parts)


def _fill(placeholder: str) -> Fill:
    kind, colon, name = placeholder.partition(":")
    if not colon:
        return _WORDS.get(kind) or _capture(kind)
    if kind not in _KINDS:
        raise ValueError(f"there is no {{{kind}:...}}; there are {', '.join(f'{{{known}:NAME}}' for known in _KINDS)}")
    return _KINDS[kind](name)


def _join(parts: list[bytes | Fill]) -> Fill:
    if len(parts) == 1 and callable(parts[0]):
        return parts[0]
    fills = [part if callable(part) else _constant(part) for part in parts]
    literals = b"".join(part for part in parts if not callable(part))

    def join(exchange: Exchange) -> bytes:
        filled = b"".join([fill(exchange) for fill in fills])
        return b"" if filled == literals else filled  # nothing was known of what the value is about

    return join


def _constant(octets: bytes) -> Fill:
    return lambda exchange: octets
