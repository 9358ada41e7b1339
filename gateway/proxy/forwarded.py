"""What a backend is told of the way so far: X-Forwarded-*, Forwarded, Via; believed only from trusted peers."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from gateway.http.headers import Field, Headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Fields a client has no say in. Its own are removed; ours are added.
NAMES = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip")
VIA = b"1.1 gateway"


class Forwarded:
    """The fields, and the client they name. Made once per connection, unless a trusted proxy adds its own to each request."""

    __slots__ = ("client", "scheme", "fields", "block")

    def __init__(self, client: str, scheme: str, fields: Iterable[Field]) -> None:
        #: address of the client as far as it can be trusted
        self.client = client
        self.scheme = scheme
        self.fields = tuple(fields)
        #: the same, encoded for HTTP/1
        self.block = b"".join(b"%b: %b\r\n" % field for field in self.fields)


def direct(peer: str, scheme: str) -> Forwarded:
    """Say that the client is the peer itself."""
    return Forwarded(peer, scheme, _fields(peer, scheme))


def relayed(peer: str, scheme: str, headers: Headers, trusted: Sequence[Network]) -> Forwarded:
    """Read what a trusted peer says; the client is the last address that is not a trusted proxy's."""
    chain = _chain(headers)
    client = peer
    for address in reversed(chain):
        if not contains(trusted, client):
            break
        client = address
    told = _text(headers.index.get(b"x-forwarded-proto", b"")).rpartition(",")[2].strip().lower()
    if told in ("http", "https"):
        scheme = told
    fields = _fields(", ".join([*chain, peer]), scheme)
    host = headers.index.get(b"x-forwarded-host")
    if host is not None:
        fields.append((b"X-Forwarded-Host", host))
    via = headers.index.get(b"via")
    if via is not None:
        fields[-1 if host is None else -2] = (b"Via", via + b", " + VIA)
    return Forwarded(client, scheme, fields)


def contains(networks: Sequence[Network], address: str) -> bool:
    """Tell whether one of the networks holds the address; text that is no address is in none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def _fields(forwarded_for: str, scheme: str) -> list[Field]:
    return [
        (b"X-Forwarded-For", forwarded_for.encode("ascii", "replace")),
        (b"X-Forwarded-Proto", scheme.encode("ascii")),
        (b"Via", VIA),
    ]


def _chain(headers: Headers) -> list[str]:
    """Return the addresses that earlier proxies named, first hop first: X-Forwarded-For, else Forwarded (RFC 7239)."""
    listed = _text(headers.index.get(b"x-forwarded-for", b""))
    if listed:
        return [address for entry in listed.split(",") if (address := _address(entry.strip()))]
    addresses = []
    for element in _text(headers.index.get(b"forwarded", b"")).split(","):
        for pair in element.split(";"):
            name, _, value = pair.strip().partition("=")
            if name.lower() == "for" and (address := _address(value.strip('"'))):
                addresses.append(address)
    return addresses


def _address(text: str) -> str:
    """Return the address without port and brackets; empty when it is none (``unknown``, ``_hidden``)."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _text(value: bytes) -> str:
    return value.decode("latin-1")
