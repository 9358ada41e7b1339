"""The PROXY protocol, versions 1 and 2: a balancer in front tells whom it speaks for (haproxy.org, proxy-protocol.txt, 2020).

The header is peeked at and then read to its exact end, because what follows may be TLS, which another reader takes.
"""

from __future__ import annotations

import ipaddress
import re
import struct

from gateway.net import Wire

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1_MOST = 107
#: addresses and extensions of version 2; more than any sender has reason for
V2_MOST = 4096
_V1 = re.compile(rb"PROXY (?:UNKNOWN[^\r\n]*|(TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5}))\r\n")
_LOCAL, _PROXY = 0x20, 0x21
_INET, _INET6 = 1, 2


def read_header(wire: Wire) -> str | None:
    """Read the header that opens a connection; return the client's address, ``None`` when the sender speaks for itself.

    Raises ValueError when the octets are no such header, and Timeout or OSError.
    """
    octets = wire.peek(16)
    if octets.startswith(SIGNATURE[: len(octets)]):
        return _version_2(wire)
    if octets.startswith(b"PROXY "[: len(octets)]):
        return _version_1(wire)
    raise ValueError("the connection does not begin with a PROXY header")


def _version_1(wire: Wire) -> str | None:
    line = wire.peek_until(b"\r\n", V1_MOST)
    found = _V1.fullmatch(line)
    if found is None:
        raise ValueError("a malformed PROXY line")
    wire.take(len(line))
    if found[1] is None:
        return None
    address = ipaddress.ip_address(found[2].decode("ascii"))
    if (address.version == 4) != (found[1] == b"TCP4"):
        raise ValueError("a PROXY line whose address is of another family")
    return str(address)


def _version_2(wire: Wire) -> str | None:
    head = wire.take(16)
    if not head.startswith(SIGNATURE):
        raise ValueError("a malformed PROXY signature")
    command, family, length = struct.unpack("!BBH", head[12:])
    if length > V2_MOST:
        raise ValueError("a PROXY header that is too long")
    rest = wire.take(length) if length else b""
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise ValueError("a PROXY header of an unknown version or command")
    if family >> 4 == _INET and length >= 12:
        return str(ipaddress.IPv4Address(rest[:4]))
    if family >> 4 == _INET6 and length >= 36:
        return str(ipaddress.IPv6Address(rest[:16]))
    return None
