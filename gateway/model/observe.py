"""What is recorded of the traffic: access log, metrics, traces, identifiers."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.model.base import Referring, Secret, Settings

#: What a line of the access log can hold -> what it means. Beside these: ``header.NAME``, ``response_header.NAME``, ``note.KEY``.
LOG_FIELDS = {
    "time": "when the request came, UTC, to the millisecond (RFC 3339)",
    "id": "request id, unique in the fleet",
    "client": "address of the client, as far as trusted proxies tell",
    "peer": "address of the connection itself",
    "listener": "name of the listener",
    "method": "request method",
    "scheme": "http or https",
    "host": "host asked for, without the port",
    "path": "path, normalised, without the query, which may hold secrets",
    "query": "query as sent, without the question mark",
    "protocol": "version of HTTP that the client speaks",
    "status": "status of the response; 499 when the client left before there was one",
    "code": "word for what went wrong, such as no_route; empty when nothing did",
    "refused_by": "policy that refused",
    "bytes_in": "octets of content received from the client",
    "bytes_out": "octets of content sent to the client",
    "total_us": "microseconds from the request's head to the last octet of the response",
    "gateway_us": "of these, before the request was on its way to a backend",
    "upstream_us": "of these, from then to the head of the backend's response",
    "route": "name of the route",
    "api_version": "version of the API asked for",
    "pool": "pool that the request went to",
    "member": "address of the backend that answered, or was tried last",
    "attempts": "backends tried",
    "consumer": "name of the caller",
    "credential": "name of the credential shown",
    "trace_id": "W3C trace id",
    "revision": "revision of the configuration that the exchange ran under",
}
_DYNAMIC = re.compile(r"(header|response_header|note)\.[A-Za-z0-9_.-]+")


def check_field(name: str) -> str:
    """Return the name of a field of the access log; raise ValueError when there is none."""
    if name not in LOG_FIELDS and not _DYNAMIC.fullmatch(name):
        raise ValueError(f"a field is one of {', '.join(LOG_FIELDS)}, or header.NAME, response_header.NAME, note.KEY")
    return name


LogField = Annotated[str, AfterValidator(check_field)]
Trust = Literal["anyone", "trusted", "nobody"]


class AccessLogSettings(Settings):
    """One JSON line per exchange."""

    enabled: bool = Field(True, description="Write an access log")
    path: str | None = Field(None, min_length=1, description="File or named pipe; - = standard output; none = as the gateway was started")
    fields: tuple[LogField, ...] = Field(
        (
            "time", "id", "client", "listener", "method", "host", "path", "status", "bytes_in", "bytes_out",
            "total_us", "upstream_us", "route", "member", "consumer", "code",
        ),
        min_length=1,
        description="What a line holds, in this order",
    )  # fmt: skip
    max_waiting: int = Field(
        10_000, ge=100, le=1_000_000, description="Lines kept per worker while the file takes none; then they are dropped and counted"
    )


class MetricsSettings(Settings):
    """Numbers for Prometheus."""

    max_series: int = Field(
        1000, ge=10, le=20_000, description="Series per metric; what comes beyond is counted together, labelled (other)"
    )
    time_plugins_one_in: int = Field(128, ge=0, description="Measure the time of plugins in one of so many exchanges; 0 = never")


class TracingSettings(Referring):
    """Exchanges explained hook by hook."""

    secret: Secret | None = Field(
        None, description="Key of the X-Gateway-Trace header, which asks for a trace; none = the header is ignored"
    )
    one_in: int = Field(0, ge=0, description="Also trace one of so many exchanges; 0 = none")
    masked: tuple[str, ...] = Field(
        (), description="Headers never shown, beside Authorization, Cookie, Set-Cookie, X-API-Key and their like"
    )


class IdentitySettings(Settings):
    """Identifiers that connect this gateway's records with those of others."""

    request_id_from: Trust = Field("trusted", description="Whose X-Request-ID is kept: trusted proxies', anyone's or nobody's")
    trace_from: Trust = Field("anyone", description="Whose traceparent is continued: trusted proxies', anyone's or nobody's")
    sampled_percent: float = Field(
        100, ge=0, le=100, description="Traces begun here that are marked as sampled, for backends that follow the mark"
    )


class Observe(Settings):
    """What is recorded of the traffic."""

    access_log: AccessLogSettings = Field(default_factory=AccessLogSettings, description="One JSON line per exchange")
    metrics: MetricsSettings = Field(default_factory=MetricsSettings, description="Numbers for Prometheus")
    tracing: TracingSettings = Field(default_factory=TracingSettings, description="Exchanges explained hook by hook")
    identity: IdentitySettings = Field(default_factory=IdentitySettings, description="Request ids and trace contexts")
