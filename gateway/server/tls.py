"""TLS for https listeners: one context per certificate, chosen by the name the client asks for (SNI, RFC 6066, section 3).

A change of certificates makes new contexts; connections that are open keep theirs, so nothing is restarted.
"""

from __future__ import annotations

import _ssl
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from gateway.model.listener import Certificate, Listener
from gateway.model.references import resolve
from gateway.proxy.upstream_tls import load_pair

log = logging.getLogger("gateway.tls")

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
#: OpenSSL's binding itself: gevent's setter expects sockets of its own kind, and ours are SSLObjects over memory.
_SNI_CALLBACK: Any = vars(_ssl._SSLContext)["sni_callback"]
#: RFC 9325, section 4.2: forward secrecy and authenticated encryption only; TLS 1.3 brings its own
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TlsStore:
    """Contexts of one listener, kept while their certificate and the listener's settings stay the same."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, str], tuple[Certificate, ssl.SSLContext]] = {}

    def context(self, listener: Listener, certificates: Mapping[str, Certificate]) -> ssl.SSLContext:
        """Return the context to accept with. A certificate that cannot be loaded is left out and logged."""
        contexts: dict[tuple[str, str], tuple[Certificate, ssl.SSLContext]] = {}
        for name, certificate in certificates.items():
            key = (name, listener.min_tls)
            known = self._contexts.get(key)
            if known is not None and known[0] is certificate:
                contexts[key] = known
                continue
            try:
                contexts[key] = certificate, _loaded(certificate, listener)
            except (OSError, ValueError) as error:
                log.error("certificate %s cannot be used: %s", name, error)
                if known is not None:
                    contexts[key] = known  # the one before is better than none
        self._contexts = contexts
        chosen = _by_name(list(contexts.values()))
        base = chosen("")
        if base is None:  # nobody asked for by name: any certificate is better than a broken handshake
            base = next(iter(contexts.values()))[1] if contexts else _bare(listener)

        def choose(connection: Any, name: str | None, _: ssl.SSLContext) -> None:
            found = chosen(name.lower()) if name else None
            if found is not None:
                connection.context = found

        _SNI_CALLBACK.__set__(base, choose)
        return base


def _by_name(pairs: list[tuple[Certificate, ssl.SSLContext]]) -> Callable[[str], ssl.SSLContext | None]:
    names: dict[str, ssl.SSLContext] = {}
    for certificate, context in pairs:
        for host in certificate.hosts or ("",):
            names.setdefault(host.lower(), context)

    def find(name: str) -> ssl.SSLContext | None:
        found = names.get(name)
        if found is None and "." in name:
            found = names.get("*." + name.partition(".")[2])  # one label, as certificates have it (RFC 6125, section 6.4.3)
        return found if found is not None else names.get("")

    return find


def _loaded(certificate: Certificate, listener: Listener) -> ssl.SSLContext:
    context = _bare(listener)
    load_pair(context, resolve(certificate.certificate), resolve(certificate.key))
    return context


def _bare(listener: Listener) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[listener.min_tls]
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context
