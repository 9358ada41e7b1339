"""TLS towards members: contexts made once per pool settings."""

from __future__ import annotations

import logging
import os
import ssl
import tempfile
from functools import lru_cache

from gateway.model.pool import UpstreamTls
from gateway.model.references import resolve

log = logging.getLogger("gateway.upstream")


def client_context(settings: UpstreamTls | None) -> ssl.SSLContext | None:
    """Return the context for a pool, ``None`` when it speaks plainly. Raises ValueError or OSError when keys cannot be used."""
    return None if settings is None else _context(settings)


@lru_cache(256)
def _context(settings: UpstreamTls) -> ssl.SSLContext:
    authorities = resolve(settings.ca) if settings.ca is not None else None
    context = ssl.create_default_context(cadata=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.certificate is not None:
        load_pair(context, resolve(settings.certificate), resolve(settings.key) if settings.key is not None else None)
    return context


def load_pair(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Load PEM texts; OpenSSL's binding takes files only, so they pass through a private one that exists for a moment."""
    fd, path = tempfile.mkstemp(prefix="gateway-", suffix=".pem")  # mode 0600
    try:
        with os.fdopen(fd, "w") as file:
            file.write(certificate + "\n" + (key or "") + "\n")
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
