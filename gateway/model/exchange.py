"""Exchange: one request and its response, and all that is known about them on the way."""

from typing import TYPE_CHECKING, Any

from gateway.http.message import Request, Response

if TYPE_CHECKING:
    from gateway.model.consumer import Consumer
    from gateway.model.route import Route
    from gateway.model.pool import Member


class Exchange:
    """State of one exchange. Plugins read it; only ``transform_*`` hooks change ``request`` and ``response``.

    Times are seconds of ``time.monotonic()``; ``0.0`` means "did not happen". Nothing here depends on the protocol
    that the client or the backend speaks.
    """

    __slots__ = (
        "id", "request", "response", "route", "plan", "snapshot", "consumer", "credential", "captures", "client",
        "peer", "listener", "started", "deadline", "upstream_started", "upstream_first_byte", "finished", "member", "pool", "attempts",
        "bytes_in", "bytes_out", "code", "refused_by", "trace", "traceparent", "version", "_notes",
    )  # fmt: skip

    def __init__(self, request: Request, client: str, started: float) -> None:
        self.request = request
        self.response: Response | None = None
        #: unique in the fleet; in the access log, error bodies and ``X-Request-ID``
        self.id = ""
        #: the client's address as far as trusted proxies tell, without the port
        self.client = client
        #: address of the connection itself, without the port
        self.peer = client
        self.listener = ""
        self.started = started
        #: when the whole exchange must be over (``total_s``); ``0.0`` = no limit
        self.deadline = 0.0
        self.route: Route | None = None
        self.plan: Any = None
        self.snapshot: Any = None
        self.consumer: Consumer | None = None
        #: name of the credential used, never the secret
        self.credential = ""
        #: values of ``{name}`` in the path template, percent-decoded; named groups of a regex
        self.captures: dict[str, str] = {}
        #: the API version asked for
        self.version = ""
        self.pool = ""
        self.member: Member | None = None
        #: addresses tried, in order
        self.attempts: list[str] = []
        self.upstream_started = 0.0
        self.upstream_first_byte = 0.0
        self.finished = 0.0
        #: octets of content received from and sent to the client
        self.bytes_in = 0
        self.bytes_out = 0
        #: word for what went wrong (``no_route``, ``connect_timeout``); empty when nothing did
        self.code = ""
        #: label of the policy that refused
        self.refused_by = ""
        #: recorder, or ``None``: the untraced exchange pays one attribute test
        self.trace: Any = None
        #: W3C trace context sent to the backend
        self.traceparent = ""
        self._notes: dict[str, Any] | None = None

    @property
    def notes(self) -> dict[str, Any]:
        """Where plugins leave things for each other and for the access log; keys begin with the plugin's name."""
        if self._notes is None:
            self._notes = {}
        return self._notes
