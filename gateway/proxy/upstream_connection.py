"""A connection to a member, and what is said when it fails."""

from gateway.http.errors import GatewayError
from gateway.http.parser import ResponseParser
from gateway.model.listener import HttpLimits
from gateway.net import Wire

#: what a backend may send as a head: more than clients may, since it is ours
RESPONSE_LIMITS = HttpLimits(max_line_bytes=16384, max_headers=200, max_header_bytes=131072)


class UpstreamFailure(GatewayError):
    """A member did not answer as it should. ``acted`` is true when it may have acted on the request."""

    status = 502

    def __init__(self, code: str, detail: str = "", *, status: int = 502, acted: bool = True) -> None:
        super().__init__(detail, status=status, code=code)
        self.acted = acted


class Connection:
    """One connection to a member, with its parser."""

    __slots__ = ("wire", "parser", "idle_since", "epoch")

    def __init__(self, wire: Wire, epoch: int) -> None:
        self.wire = wire
        self.parser = ResponseParser(RESPONSE_LIMITS)
        self.idle_since = 0.0
        #: of the endpoint when the connection was made; an older one is not kept
        self.epoch = epoch

    def close(self) -> None:
        """Close at once."""
        self.wire.close()
