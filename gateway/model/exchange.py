"""Exchange: one request and its response, and all that is known about them on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.http.message import Request, Response

if TYPE_CHECKING:
    from gateway.model.consumer import Consumer
    from gateway.model.pool import Member
    from gateway.model.route import Route


NO_CAPTURES: dict[str, str] = {}


class Exchange:
    """State of one exchange. Plugins read it; only ``transform_*`` hooks change ``request`` and ``response``.

    Times are seconds of ``time.monotonic()``; ``0.0`` means "did not happen". Nothing here depends on the protocol
    that the client or the backend speaks.
    """

    # Defaults stand on the class, so that making an exchange stores four values and not thirty.

    response: Response | None = None
    #: unique in the fleet; in the access log, error bodies and ``X-Request-ID``
    id = ""
    listener = ""
    #: when the whole exchange must be over (``total_s``); ``0.0`` = no limit
    deadline = 0.0
    route: Route | None = None
    plan: Any = None
    snapshot: Any = None
    consumer: Consumer | None = None
    #: name of the credential used, never the secret
    credential = ""
    #: values of ``{name}`` in the path template, percent-decoded; named groups of a regex
    captures: dict[str, str] = NO_CAPTURES
    #: the API version asked for
    version = ""
    pool = ""
    member: Member | None = None
    #: addresses tried, in order
    attempts: Sequence[str] = ()
    upstream_started = 0.0
    upstream_first_byte = 0.0
    finished = 0.0
    #: octets of content received from and sent to the client
    bytes_in = 0
    bytes_out = 0
    #: word for what went wrong (``no_route``, ``connect_timeout``); empty when nothing did
    code = ""
    #: label of the policy that refused
    refused_by = ""
    #: recorder, or ``None``: the untraced exchange pays one attribute test
    trace: Any = None
    #: what the backend is told of the way so far (X-Forwarded-*, Via); a proxy.forwarded.Forwarded
    forwarded: Any = None
    #: passes an informational response (1xx) on to the client; ``None`` where the client's protocol has none
    interim: Any = None
    #: protocol the client wants to switch to (``websocket``), ``connect`` for a CONNECT request; empty as a rule
    upgrade = ""
    #: W3C trace context sent to the backend
    traceparent = ""
    _notes: dict[str, Any] | None = None

    def __init__(self, request: Request, client: str, started: float) -> None:
        self.request = request
        #: the client's address as far as trusted proxies tell, without the port
        self.client = client
        #: address of the connection itself, without the port
        self.peer = client
        self.started = started

    @property
    def notes(self) -> dict[str, Any]:
        """Where plugins leave things for each other and for the access log; keys begin with the plugin's name."""
        if self._notes is None:
            self._notes = {}
        return self._notes
