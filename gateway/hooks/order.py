"""The hooks in the order in which an exchange meets them."""

#: Of one exchange, in running order.
EXCHANGE = (
    "authenticate",
    "authorize",
    "limit",
    "transform_request",
    "respond",
    "select_backend",
    "aggregate",
    "transform_response",
    "log",
)  # fmt: skip
#: An answer ends these: a Reject, a Response, a Consumer or a Candidate.
FIRST_RESULT = frozenset({"authenticate", "authorize", "limit", "respond", "select_backend", "aggregate"})
#: When a plugin raises here the exchange is refused (503); elsewhere the plugin is skipped and counted.
FAIL_CLOSED = frozenset({"authenticate", "authorize", "limit"})
