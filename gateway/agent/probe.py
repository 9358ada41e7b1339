"""One probe of a member: is it well, and if not, why not."""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

import gevent

from gateway.http.errors import ProtocolError
from gateway.http.parser import ResponseParser
from gateway.model.listener import HttpLimits
from gateway.net import Timeout, Wire, connect, monotonic
from gateway.proxy.outliers import expand_statuses
from gateway.proxy.upstream_tls import client_context

if TYPE_CHECKING:
    from gateway.http.parser import Inflow
    from gateway.model.pool import ActiveCheck, UpstreamTls

#: A probe wants a status, not a document.
LIMITS = HttpLimits(max_line_bytes=8192, max_headers=200, max_header_bytes=65536)
#: Want of descriptors, memory or ports here says nothing about the member.
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
#: Probes that one connection serves. A member that answers old connections but takes no new ones must be noticed, too.
PROBES = 10
#: Content of an answer above which its connection is not worth keeping, in octets.
CONTENT_MOST = 65536
#: A timeout noticed this much too late, in seconds, is our own delay: the answer may have been there in time.
LATE_S = 0.5


class Unjudged(Exception):
    """The probe says nothing about the member: it failed for a reason on this side."""


class Connection:
    """A connection to a member that may serve several probes."""

    __slots__ = ("wire", "parser", "probes")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.parser = ResponseParser(LIMITS)
        self.probes = 0


class Probe:
    """How one member is probed. Raises ValueError or OSError when the TLS keys cannot be used.

    Where the member allows it, an HTTP connection serves ten probes: to connect is two thirds of a probe's cost, over TLS nearly all
    of it. Whoever owns the probe may ``close`` the connection that waits in ``kept`` at any time.
    """

    def __init__(self, address: str, check: ActiveCheck, tls: UpstreamTls | None) -> None:
        self.address = address
        self.timeout_s = check.timeout_s
        self.kept: Connection | None = None
        self._verdict: tuple[bool, str] | None = None
        self._context = client_context(tls)
        host = address.rpartition(":")[0].strip("[]")
        self._server_name = tls.server_name or host if tls is not None else None
        self._request = b""
        if check.type == "http":
            name = check.host or ("localhost" if address.startswith("unix:") else address)
            head = f"GET {check.path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: gateway-check\r\nAccept: */*\r\n\r\n"
            self._request = head.encode()
        self._good = expand_statuses(check.statuses)

    def run(self) -> tuple[bool, str]:
        """Probe once and return the verdict and a few words about it. Raises Unjudged."""
        began = monotonic()
        self._verdict = None
        try:
            with gevent.Timeout(self.timeout_s, False):
                return self._run()
        except Timeout:
            pass
        except ssl.SSLError as error:
            return False, f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
        except ProtocolError as error:
            return False, f"not HTTP: {error.detail}"
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in OURS:
                raise Unjudged(reason) from error
            return False, reason
        if self._verdict is not None:
            return self._verdict  # only the content was late
        if monotonic() - began > self.timeout_s + LATE_S:
            raise Unjudged("this process was held up")
        return False, f"no answer in {self.timeout_s:g} s"

    def close(self) -> None:
        """Close the connection that waits for the next probe."""
        connection, self.kept = self.kept, None
        if connection is not None:
            connection.wire.close()

    def _run(self) -> tuple[bool, str]:
        if self.kept is not None and self.kept.wire.pending:
            self.close()  # the member has closed it
        connection, self.kept = self.kept, None
        if connection is not None:
            try:
                verdict = self._ask(connection)
            except OSError:
                verdict = None
            if verdict is not None:
                return verdict
            # It was closed just now, which a member may do at any time: that says nothing.
        wire = connect(self.address, self.timeout_s, self._context, self._server_name)
        if not self._request:
            wire.close()
            return True, "connected"
        return self._ask(Connection(wire)) or (False, "closed without an answer")

    def _ask(self, connection: Connection) -> tuple[bool, str] | None:
        """Return the verdict; ``None`` when the connection ends before the response head."""
        wire, parser = connection.wire, connection.parser
        try:
            parser.begin("GET")
            wire.send(self._request)
            while (response := parser.response) is None:
                octets = wire.recv()
                if not octets:
                    return None
                parser.feed(octets)
            verdict = self._verdict = response.status in self._good, f"status {response.status}"
            connection.probes += 1
            if response.keep_alive and connection.probes < PROBES and _drain(connection, response.inflow):
                self.kept = connection
            return verdict
        finally:
            if self.kept is not connection:
                wire.close()


def _drain(connection: Connection, inflow: Inflow) -> bool:
    """Read the content, and tell whether the connection can serve again after it."""
    wire, parser, received = connection.wire, connection.parser, 0
    while not inflow.complete:
        octets = wire.recv()
        received += len(octets)
        if not octets or received > CONTENT_MOST:
            return False
        parser.feed(octets)
    inflow.chunks.clear()
    return not parser.leftover and not wire.pending


__all__ = ["Probe", "Unjudged"]
