"""What can go wrong with an exchange: one small tree, read by its fields and never by its type."""

from gateway.http.headers import Headers


class GatewayError(Exception):
    """An exchange cannot go on; ``status`` and ``code`` are all that the client is told.

    ``code`` is a stable word for programs (``no_route``, ``connect_timeout``); ``detail`` goes to the log only.
    """

    status = 500
    code = "internal_error"
    #: fields that the answer needs (``Allow``, ``Retry-After``)
    headers: Headers | None = None

    def __init__(self, detail: str = "", *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code


class ProtocolError(GatewayError):
    """Octets that break RFC 9110 or RFC 9112, or one of our caps. The only error the HTTP parser raises.

    ``status`` is the answer for a client (400, 413, 414, 417, 431, 501, 505); from a backend every ProtocolError is a 502.
    """

    status = 400
    code = "bad_request"
