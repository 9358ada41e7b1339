"""The life of an exchange, top to bottom: match, authenticate, authorize, limit, transform, respond or forward, transform, log.

``run`` is the picture in the documentation, in the same order. It calls plain tuples of bound methods that
``hooks.plan`` prepared, so a hook that a route does not use costs one test of an empty tuple, and an exchange that
nobody traces pays one test of ``trace`` per hook it does use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gateway.http.errors import GatewayError
from gateway.http.message import Response
from gateway.model.consumer import Consumer
from gateway.net import ClientGone, Timeout, monotonic
from gateway.proxy.composition import compose
from gateway.proxy.errors import error_page
from gateway.proxy.forward import forward
from gateway.proxy.watched import owner, watched

if TYPE_CHECKING:
    from gateway.hooks.plan import Plan
    from gateway.hooks.plugin import Reject
    from gateway.model.exchange import Exchange
    from gateway.observe.recorder import Recorder
    from gateway.proxy.live import Live
    from gateway.proxy.target import Target

log = logging.getLogger("gateway.lifecycle")


class Lifecycle:
    """Carries exchanges through their hooks. ``live`` is replaced, by one assignment, when the configuration changes."""

    def __init__(self, live: Live, recorder: Recorder) -> None:
        self.live = live
        self.recorder = recorder
        #: begun so far
        self.exchanges = 0

    def run(self, exchange: Exchange) -> Response:
        """Answer the exchange. Raises ClientGone when there is nobody left to answer, and nothing else."""
        self.exchanges += 1
        live = self.live  # the exchange keeps the configuration it started with
        exchange.snapshot = live.snapshot
        exchange.plan = live.fallback
        try:
            response = self._answer(exchange, live)
        except GatewayError as error:
            exchange.code = error.code
            if error.status >= 500:
                log.info("%s %s: %s", exchange.id, error.code, error.detail)
            response = error_page(exchange, error.status, error.code, error.headers)
        except (ClientGone, Timeout):
            exchange.code = "client_gone"
            raise ClientGone from None
        except Exception as error:  # a fault of the core's own: the client must not hang, the operator must know
            exchange.code = "internal_error"
            log.error("%s route %s", exchange.id, exchange.plan.target.name, exc_info=error)
            response = error_page(exchange, 500, exchange.code)
        exchange.response = response
        plan = exchange.plan
        if plan.target.announce is not None:
            plan.target.announce(exchange)
        if plan.transform_response:
            self._each(exchange, plan, "transform_response", plan.transform_response)
        return exchange.response

    def _answer(self, exchange: Exchange, live: Live) -> Response:
        plan: Plan = live.router.find(exchange)
        if plan is None:
            return self._refuse(exchange, live.fallback, None, live.router.refusal(exchange))
        exchange.plan = plan
        exchange.route = plan.route
        target: Target = plan.target

        if plan.authenticate:
            caller = self._decide(exchange, plan, "authenticate", plan.authenticate)
            if type(caller) is Consumer:
                exchange.consumer = caller
                if caller.policies:
                    plan = exchange.plan = plan.for_consumer(caller)
            elif caller is not None:
                return caller

        if plan.authorize:
            refusal = self._decide(exchange, plan, "authorize", plan.authorize)
            if refusal is not None:
                return refusal

        if plan.limit:
            refusal = self._decide(exchange, plan, "limit", plan.limit)
            if refusal is not None:
                return refusal

        if target.rewrite is not None:
            target.rewrite(exchange)
        if plan.transform_request:
            self._each(exchange, plan, "transform_request", plan.transform_request)

        if plan.respond:
            response = self._first(exchange, plan, "respond", plan.respond)
            if response is not None:
                return response

        if target.composition is not None:
            return compose(exchange, plan, self._first)  # fetches the parts, then asks ``aggregate``
        return forward(exchange, plan)  # asks ``select_backend`` for each try

    def finish(self, exchange: Exchange) -> None:
        """Take note of the exchange after its last octet: ``log`` hooks, metrics, access log, trace."""
        exchange.finished = monotonic()
        plan = exchange.plan
        if plan is not None and plan.log:
            self._each(exchange, plan, "log", plan.log)
        self.recorder.finished(exchange)

    def _decide(self, exchange: Exchange, plan: Plan, hook: str, steps: Iterable[Callable[..., Any]]) -> Any:
        """Return the first verdict that is not ``None``, a refusal as the response to send. A step that raises refuses: 503."""
        for step in steps if exchange.trace is None else watched(exchange, plan, hook):
            try:
                verdict = step(exchange)
            except (ClientGone, GatewayError):
                raise
            except Exception as error:
                self._failed(exchange, plan, hook, step, error)
                raise GatewayError("", status=503, code="plugin_failed") from error
            if verdict is not None:
                return verdict if type(verdict) is Consumer else self._refuse(exchange, plan, step, verdict)
        return None

    def _each(self, exchange: Exchange, plan: Plan, hook: str, steps: Iterable[Callable[..., Any]]) -> None:
        """Call every step; one that raises is skipped and counted."""
        for step in steps if exchange.trace is None else watched(exchange, plan, hook):
            try:
                step(exchange)
            except (ClientGone, GatewayError):
                raise
            except Exception as error:
                self._failed(exchange, plan, hook, step, error)

    def _first(self, exchange: Exchange, plan: Plan, hook: str, steps: Iterable[Callable[..., Any]], *arguments: Any) -> Any:
        """Return the first answer that is not ``None``; a step that raises is skipped and counted."""
        for step in steps if exchange.trace is None else watched(exchange, plan, hook):
            try:
                answer = step(exchange, *arguments)
            except (ClientGone, GatewayError):
                raise
            except Exception as error:
                self._failed(exchange, plan, hook, step, error)
                continue
            if answer is not None:
                return answer
        return None

    def _refuse(self, exchange: Exchange, plan: Plan, step: Any, verdict: Reject) -> Response:
        policy = owner(plan, step)
        exchange.code = verdict.code
        exchange.refused_by = policy.label if policy is not None else ""
        self.recorder.refused(policy)
        return verdict if verdict.body else error_page(exchange, verdict.status, verdict.code, verdict.headers)

    def _failed(self, exchange: Exchange, plan: Plan, hook: str, step: Any, error: Exception) -> None:
        policy = owner(plan, step)
        name = policy.plugin if policy is not None else "core"
        log.error("%s route %s: plugin %s failed in %s", exchange.id, plan.target.name, name, hook, exc_info=error)
        self.recorder.plugin_failed(policy, hook)
