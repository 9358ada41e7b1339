"""Limit the rate of requests, in several windows at once, exactly across the workers of a node.

All windows of a caller lie in one row of a table that the workers share. A request is checked against every window
and counted in every window while the row is locked: parallel requests cannot pass together what only one of them may,
and a request that one window refuses is not counted in the others. Refused requests are not counted at all.
"""

from math import ceil
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from gateway.api import Exchange, Plugin, PolicyInfo, Reject, Settings, Worker, hookimpl
from gateway_limits.callers import caller_by
from gateway_limits.counters import counter_of
from gateway_limits.windows import Fixed, Rolling, Window

By = Annotated[str, StringConstraints(pattern=r"^(consumer|credential|ip|route|all|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$")]


class Limit(Settings):
    """So many requests per so many seconds."""

    requests: int = Field(ge=1, le=10**9, description="Requests allowed per window")
    per_s: float = Field(gt=0, le=366 * 86400, description="Length of the window, in seconds")
    window: Literal["rolling", "fixed"] = Field(
        "rolling", description="rolling: refills all the time; fixed: starts anew at multiples of per_s in UTC, such as midnight for 86400"
    )
    burst: int | None = Field(
        None, ge=1, le=10**9, description="Requests that may come at once, for rolling windows; all of them unless given"
    )
    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Name in the RateLimit headers; made of per_s unless given"
    )

    @model_validator(mode="after")
    def _burst_rolls(self) -> "Limit":
        if self.burst is not None and self.window == "fixed":
            raise ValueError("a fixed window has no burst: all its requests may come at once")
        return self

    @property
    def label(self) -> str:
        """The name, however it came about."""
        return self.name or f"{self.per_s:g}s"


class RateLimit(Plugin):
    """Limit the rate of requests per consumer, credential, address, header or route."""

    name = "rate_limit"
    api = 1

    class Config(Plugin.Config):
        limits: tuple[Limit, ...] = Field(min_length=1, max_length=8, description="All of them hold at the same time")
        by: By = Field(
            "consumer",
            description="Whose requests are counted together: consumer, credential, ip (IPv6: the /64), header:NAME, route or all",
        )
        status: int = Field(429, ge=400, le=599, description="Status of a refusal")
        headers: bool = Field(True, description="Tell clients in RateLimit and RateLimit-Policy headers what is left")

        @field_validator("limits")
        @classmethod
        def _distinct(cls, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
            if len({limit.label for limit in limits}) < len(limits):
                raise ValueError("two limits have the same name; name them, or give them different windows")
            return limits

    def __init__(self, config: Any, policy: PolicyInfo) -> None:
        super().__init__(config, policy)
        windows = [_window(limit) for limit in config.limits]
        self._counter = counter_of(windows)
        self._width = sum(window.size for window in windows)
        self._caller = caller_by(config.by)
        # Shared rows outlive a change of the settings: numbers of another layout must not be found.
        self._prefix = f"{policy.id} {','.join(window.layout for window in windows)} "
        self._ttl = max(limit.per_s * max((limit.burst or 1) / limit.requests, 1.0) for limit in config.limits)
        self._note = f"rate_limit {policy.id}"
        self._shown = config.headers and policy.enforce
        self.unused = frozenset() if self._shown else frozenset({"transform_response"})
        terms = ", ".join(f'"{limit.label}";q={limit.requests};w={ceil(limit.per_s)}' for limit in config.limits)
        self._policy_field = (b"ratelimit-policy", (b"RateLimit-Policy", terms.encode()))

    @hookimpl
    def start(self, worker: Worker) -> None:
        self._table = worker.table("rate_limit", self._width)

    @hookimpl
    def limit(self, exchange: Exchange) -> Reject | None:
        now = exchange.started
        table = self._table
        row = table.acquire(self._prefix + self._caller(exchange), now, self._ttl)
        wait, memo = self._counter.count(table.values, row, now)
        table.release()
        if self._shown:
            exchange.notes[self._note] = memo
        if not wait:
            return None
        seconds = max(ceil(wait - 0.001), 1)  # what is due in the next millisecond is due
        return Reject(self.config.status, "rate_limited", f"conforms in {wait:.3f} s", [("Retry-After", str(seconds))])

    @hookimpl
    def transform_response(self, exchange: Exchange) -> None:
        """Say what is left in the window that is nearest to its end (draft-ietf-httpapi-ratelimit-headers)."""
        memo = exchange.notes.get(self._note)
        if memo is not None and exchange.response is not None:
            left, reset, label = self._counter.nearest(memo)
            headers = exchange.response.headers
            headers.append(self._policy_field)
            headers.append((b"ratelimit", (b"RateLimit", b'"%s";r=%d;t=%d' % (label, left, ceil(reset)))))


def _window(limit: Limit) -> Window:
    if limit.window == "fixed":
        return Fixed(limit.label, limit.requests, limit.per_s)
    return Rolling(limit.label, limit.requests, limit.per_s, limit.burst or limit.requests)
