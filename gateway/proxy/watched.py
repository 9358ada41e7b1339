"""The same steps, seen: for an exchange that is traced each hook reports its verdict, its time and what it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gateway.net import monotonic

if TYPE_CHECKING:
    from gateway.hooks.plan import Plan
    from gateway.hooks.plugin import PolicyInfo
    from gateway.model.exchange import Exchange


def watched(exchange: Exchange, plan: Plan, hook: str) -> Iterator[Callable[..., Any]]:
    """Yield the plan's steps of this hook, each wrapped so that calling it leaves a line in the exchange's trace."""
    for step in getattr(plan, hook):
        yield _watch(exchange.trace, plan, hook, step)


def _watch(trace: Any, plan: Plan, hook: str, step: Callable[..., Any]) -> Callable[..., Any]:
    def call(exchange: Exchange, *arguments: Any) -> Any:
        before = trace.picture(exchange)
        began = monotonic()
        verdict: Any = None
        try:
            verdict = step(exchange, *arguments)
        except Exception as error:
            verdict = error
            raise
        finally:
            trace.hook(hook, owner(plan, step), verdict, monotonic() - began, before, trace.picture(exchange))
        return verdict

    call.step = step  # type: ignore[attr-defined]  # so that what it raises is put down to the right policy
    return call


def owner(plan: Plan, step: Any) -> PolicyInfo | None:
    """Return the policy that a step belongs to; ``None`` for the core's own."""
    return plan.owners.get(getattr(step, "step", step))
