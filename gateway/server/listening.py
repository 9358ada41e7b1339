"""A listener in a worker: what its connections need to know, and which of them are open."""

from __future__ import annotations

import ipaddress
import ssl
from typing import TYPE_CHECKING, Any

from gateway.proxy.forwarded import contains
from gateway.server.tls import TlsStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.model.listener import Certificate, Listener
    from gateway.server.connection import ClientConnection

#: peers whose trust is remembered
_REMEMBERED = 4096


class Listening:
    """Settings of a listener as the hot path wants them, shared by its connections and replaced in place when they change."""

    def __init__(self, listener: Listener) -> None:
        self.connections: set[ClientConnection] = set()
        #: connections whose TLS handshake or PROXY header is not complete
        self.arriving = 0
        #: no new requests: responses close their connections
        self.draining = False
        #: set on https listeners
        self.tls: ssl.SSLContext | None = None
        self._store = TlsStore()
        self.configure(listener)

    def configure(self, listener: Listener) -> None:
        """Take over settings; open connections follow them from their next request on."""
        self.listener = listener
        self.name = listener.name
        self.limits = limits = listener.http
        self.head_s, self.keep_alive_s, self.body_idle_s = float(limits.head_s), float(limits.keep_alive_s), float(limits.body_idle_s)
        self.max_requests = limits.max_requests
        self.scheme = "https" if listener.protocol == "https" else "http"
        self.trusted_proxies = tuple(ipaddress.ip_network(network, strict=False) for network in listener.trusted_proxies)
        self.proxy_protocol = tuple(ipaddress.ip_network(network, strict=False) for network in listener.proxy_protocol)
        self._trust: dict[str, bool] = {}

    def use(self, listener: Listener, certificates: Mapping[str, Certificate]) -> None:
        """Take over certificates; new connections see them at once."""
        self.tls = self._store.context(listener, certificates)

    def trusts(self, peer: str) -> bool:
        """Tell whether what this peer says about earlier hops is believed."""
        known = self._trust.get(peer)
        if known is None:
            if len(self._trust) >= _REMEMBERED:
                self._trust.clear()
            known = self._trust[peer] = contains(self.trusted_proxies, peer)
        return known

    def announces(self, peer: str) -> bool:
        """Tell whether connections of this peer begin with a PROXY header."""
        return peer == "unix" or contains(self.proxy_protocol, peer)

    def drain(self) -> None:
        """Close idle connections; the busy ones close after their response."""
        self.draining = True
        for connection in list(self.connections):
            connection.close_idle()


def peer_of(address: Any) -> str:
    """Return the peer's address without the port; ``unix`` for a Unix socket, IPv4 behind an IPv6 socket as IPv4."""
    if not isinstance(address, tuple):
        return "unix"
    host: str = address[0]
    return host[7:] if host.startswith("::ffff:") else host
