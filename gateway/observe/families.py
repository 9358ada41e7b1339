"""The metrics there are: names, labels, meaning."""

from dataclasses import dataclass

_WAITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OWN = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
_CODE = (0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its labels. With ``buckets`` it is a histogram: a cell per bucket, one for what is above, one for the sum."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    kind: str = "counter"

    @property
    def cells(self) -> int:
        """Numbers that one series needs."""
        return len(self.buckets) + 2 if self.buckets else 1


def _histogram(name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Family:
    return Family(name, text, labels, buckets, "histogram")


REQUESTS = Family("gateway_requests_total", "Exchanges finished.", ("listener", "route", "method", "status"))
ERRORS = Family("gateway_errors_total", "Exchanges that the gateway answered itself because something was wrong.", ("route", "code"))
TOTAL = _histogram("gateway_request_duration_seconds", "From the head of a request to the last octet of its response.", ("route",), _WAITS)
OWN = _histogram("gateway_processing_duration_seconds", "Of that, before the request was on its way to a backend.", ("route",), _OWN)
UPSTREAM = _histogram("gateway_upstream_duration_seconds", "Of that, from then to the head of the backend's response.", ("route",), _WAITS)
BYTES_IN = Family("gateway_request_bytes_total", "Octets of content received from clients.", ("route",))
BYTES_OUT = Family("gateway_response_bytes_total", "Octets of content sent to clients.", ("route",))
MEMBERS = Family("gateway_member_requests_total", "Requests sent to a member, retries included.", ("pool", "member"))
RETRIES = Family("gateway_retries_total", "Requests sent again, to another member.", ("pool",))
CONNECTIONS = Family("gateway_upstream_connections_total", "Connections made to members.", ("pool",))
REFUSALS = Family("gateway_refusals_total", "Exchanges refused by a policy.", ("plugin", "policy"))
SHADOW = Family("gateway_shadow_refusals_total", "Exchanges that a policy in shadow mode would have refused.", ("plugin", "policy"))
PLUGIN_ERRORS = Family("gateway_plugin_errors_total", "Times that a plugin raised.", ("plugin", "policy", "hook"))
PLUGIN_TIME = _histogram("gateway_plugin_duration_seconds", "Time in a plugin's hook, sampled.", ("plugin", "hook"), _CODE)
LOG_DROPPED = Family("gateway_access_log_dropped_total", "Lines of the access log dropped because it took none.")
OVERFLOW = Family("gateway_metrics_overflow_total", "Series that were not made because their metric has too many.", ("metric",))

FAMILIES = (
    REQUESTS, ERRORS, TOTAL, OWN, UPSTREAM, BYTES_IN, BYTES_OUT, MEMBERS, RETRIES, CONNECTIONS,
    REFUSALS, SHADOW, PLUGIN_ERRORS, PLUGIN_TIME, LOG_DROPPED, OVERFLOW,
)  # fmt: skip
BY_NAME = {family.name: family for family in FAMILIES}
