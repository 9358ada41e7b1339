"""Forward an exchange to its pool: choose, fetch, and try another member where that can do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.http.errors import GatewayError
from gateway.http.message import Response
from gateway.net import monotonic
from gateway.proxy.failures import UpstreamFailure
from gateway.proxy.rewrite import authority_of, set_host
from gateway.proxy.upstream import harmless
from gateway.proxy.watched import watched

if TYPE_CHECKING:
    from gateway.hooks.plan import Plan
    from gateway.hooks.plugin import Candidate
    from gateway.model.exchange import Exchange
    from gateway.proxy.target import Target


def forward(exchange: Exchange, plan: Plan) -> Response:
    """Return the response of a member of the plan's pool. Raises GatewayError when none can be had."""
    target, trace = plan.target, exchange.trace
    upstream = target.upstream
    if upstream is None:
        raise GatewayError(f"route {target.name} has no pool, and no plugin answered", status=503, code="no_backend")
    waits = target.waits or upstream.waits
    if waits.total_s:
        exchange.deadline = exchange.started + waits.total_s
    if exchange.upgrade and not _switching(exchange, target):
        exchange.upgrade = ""
    pool = upstream.runtime
    exchange.pool = upstream.name
    selectors = plan.select_backend if trace is None else tuple(watched(exchange, plan, "select_backend"))
    endpoint = pool.choose(exchange, exchange.attempts, selectors)
    while True:
        exchange.member = endpoint.member
        exchange.attempts = (*exchange.attempts, endpoint.address)
        if target.member_host:
            set_host(exchange, authority_of(endpoint.address))
        if trace is not None:
            trace.candidates((candidate, _seen(candidate, endpoint)) for candidate in pool.candidates)
            began = monotonic()
        try:
            response = upstream.fetch(exchange, endpoint, waits)
        except UpstreamFailure as failure:
            if trace is not None:
                trace.attempt(endpoint.address, failure.code, monotonic() - began)
            pool.failed(endpoint, failure.code)
            if not _retryable(exchange, plan, failure.code, failure.acted):
                raise
            cause: Any = failure
        else:
            if trace is not None:
                trace.attempt(endpoint.address, str(response.status), monotonic() - began)
            pool.report_status(endpoint, response.status)
            if response.status < 500 or not _retryable(exchange, plan, str(response.status), True):
                return response
            cause = response
        try:
            endpoint = pool.choose(exchange, exchange.attempts, selectors)
        except Exception:
            # Nobody is left to try: the first answer, or the first failure, says more than "no member".
            if isinstance(cause, Response):
                return cause
            raise cause from None
        if isinstance(cause, Response) and not isinstance(cause.body, bytes):
            cause.body.close()


def _seen(candidate: Candidate, chosen: Candidate) -> dict[str, Any]:
    """Return what a balancer could go by, for a trace."""
    return {
        "weight": candidate.weight,
        "in_flight": candidate.in_flight,
        "latency_ms": round(candidate.latency * 1000, 3),
        "failures": candidate.failures,
        "chosen": candidate is chosen,
    }


def _switching(exchange: Exchange, target: Target) -> bool:
    """Tell whether the client may have its tunnel. An Upgrade that may not be is ignored (RFC 9110, section 7.8); CONNECT is refused."""
    if exchange.upgrade != "connect":
        return exchange.upgrade in target.upgrades
    if not target.connect:
        raise GatewayError("this route does not tunnel CONNECT", status=405, code="connect_refused")
    return True


def _retryable(exchange: Exchange, plan: Plan, code: str, acted: bool) -> bool:
    """Tell whether another try is wanted, harmless, possible and within the budget."""
    retries = plan.target.retries or plan.target.upstream.retries
    if len(exchange.attempts) > retries.attempts or not harmless(exchange, acted):
        return False
    wanted = "connect_failure" if code == "connect_timeout" else code
    if wanted not in retries.on:
        return False
    if 0.0 < exchange.deadline < monotonic():
        return False
    allowed: bool = plan.target.upstream.runtime.may_retry(retries)
    return allowed
