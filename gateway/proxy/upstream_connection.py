"""A connection to a member."""

from gateway.http.parser import ResponseParser
from gateway.model.listener import HttpLimits
from gateway.net import Wire

#: what a backend may send as a head: more than clients may, since it is ours
RESPONSE_LIMITS = HttpLimits(max_line_bytes=16384, max_headers=200, max_header_bytes=131072)


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
