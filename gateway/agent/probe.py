"""One probe of a member: is it well, and if not, why not."""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

import gevent

from gateway.http.errors import ProtocolError
from gateway.http.parser import ResponseParser
from gateway.model.listener import HttpLimits
from gateway.net import Wire, connect, monotonic
from gateway.proxy.outliers import expand_statuses
from gateway.proxy.upstream_tls import client_context

if TYPE_CHECKING:
    from gateway.model.pool import ActiveCheck, UpstreamTls

#: A probe wants a status, not a document.
LIMITS = HttpLimits(max_line_bytes=8192, max_headers=200, max_header_bytes=65536)
#: Want of descriptors, memory or ports here says nothing about the member.
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
#: A timeout noticed this much too late, in seconds, is our own delay: the answer may have been there in time.
LATE_S = 0.5


class Unjudged(Exception):
    """The probe says nothing about the member: it failed for a reason on this side."""


class Probe:
    """How the members of a pool with these settings are probed. Raises ValueError or OSError when the TLS keys cannot be used."""

    def __init__(self, address: str, check: ActiveCheck, tls: UpstreamTls | None) -> None:
        self.address = address
        self.timeout_s = check.timeout_s
        self._context = client_context(tls)
        host = address.rpartition(":")[0].strip("[]")
        self._server_name = tls.server_name or host if tls is not None else None
        self._request = b""
        if check.type == "http":
            name = check.host or ("localhost" if address.startswith("unix:") else address)
            head = f"GET {check.path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: gateway-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
            self._request = head.encode()
        self._good = expand_statuses(check.statuses)

    def run(self) -> tuple[bool, str]:
        """Probe once and return the verdict and a few words about it. Raises Unjudged."""
        began = monotonic()
        try:
            with gevent.Timeout(self.timeout_s, False):
                return self._run()
        except ssl.SSLError as error:
            return False, f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
        except ProtocolError as error:
            return False, f"not HTTP: {error.detail}"
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in OURS:
                raise Unjudged(reason) from error
            return False, reason
        if monotonic() - began > self.timeout_s + LATE_S:
            raise Unjudged("this process was held up")
        return False, f"no answer in {self.timeout_s:g} s"

    def _run(self) -> tuple[bool, str]:
        wire = connect(self.address, self.timeout_s, self._context, self._server_name)
        try:
            return (True, "connected") if not self._request else self._ask(wire)
        finally:
            wire.close()

    def _ask(self, wire: Wire) -> tuple[bool, str]:
        parser = ResponseParser(LIMITS)
        parser.begin("GET")
        wire.send(self._request)
        while parser.response is None:
            octets = wire.recv()
            if not octets:
                return False, "closed without an answer"
            parser.feed(octets)
        status = parser.response.status
        return status in self._good, f"status {status}"


__all__ = ["Probe", "Unjudged"]
