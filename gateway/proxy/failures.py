"""What is said when a member fails."""

from gateway.http.errors import GatewayError


class UpstreamFailure(GatewayError):
    """A member did not answer as it should. ``acted`` is true when it may have acted on the request."""

    status = 502

    def __init__(self, code: str, detail: str = "", *, status: int = 502, acted: bool = True) -> None:
        super().__init__(detail, status=status, code=code)
        self.acted = acted
