"""Plugin instances of a worker: one per policy, kept over configuration changes that do not touch the policy.

A policy whose plugin is missing or broken becomes a policy that refuses where a refusal is the safe answer
(``order.FAIL_CLOSED``) and does nothing elsewhere. Nothing here raises because of a plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from gateway.hooks.conditions import Condition, compile_when
from gateway.hooks.order import FAIL_CLOSED
from gateway.hooks.plugin import Plugin, PolicyInfo, Reject
from gateway.model.references import Unresolved, resolve_all

if TYPE_CHECKING:
    from gateway.hooks.manager import Implementation, Registry
    from gateway.hooks.plugin import Worker
    from gateway.model.exchange import Exchange
    from gateway.model.policy import Policy

Step = Callable[..., Any]
#: Where a Reject is turned into "no opinion" while a policy is not enforced.
_REFUSING = frozenset({"authenticate", "authorize", "limit", "respond"})
#: Comes after ``trylast``: another method of authentication may still name the caller.
_RANK_BROKEN = 2
#: Distinct settings that are remembered.
_CONFIGS_MOST = 4096
_RANK_JUDGE = -2


class NotInstalled(Exception):
    """There is no such plugin, or none that can be used."""


class Bound:
    """A policy in a scope, with its plugin instance and its hooks as plain callables."""

    __slots__ = ("policy", "info", "label", "enabled", "plugin", "instance", "error", "condition", "steps")

    def __init__(self, policy: Policy, info: PolicyInfo) -> None:
        self.policy = policy
        self.info = info
        self.label = info.label
        self.enabled = policy.enabled
        self.plugin: type[Plugin] | None = None
        self.instance: Plugin | None = None
        #: why there is no instance; empty when there is one, or none is needed
        self.error = ""
        self.condition: Condition | None = None
        #: (hook, rank, callable)
        self.steps: tuple[tuple[str, int, Step], ...] = ()


class Layer:
    """The policies of one scope and owner."""

    __slots__ = ("policies", "bound", "broken")

    def __init__(self, policies: Sequence[Policy], bound: tuple[Bound, ...]) -> None:
        self.policies = policies
        self.bound = bound
        #: tried again with the next snapshot
        self.broken = any(policy.error for policy in bound)


class InstanceCache:
    """Makes, keeps and lets go of plugin instances.

    ``failed(policy, hook)`` is told of every plugin that could not be set up or raised in shadow mode,
    ``shadow_refused(policy)`` of every refusal that was not enforced.
    """

    def __init__(
        self,
        registry: Registry,
        worker: Worker,
        failed: Callable[[PolicyInfo, str], object],
        shadow_refused: Callable[[PolicyInfo], object],
    ) -> None:
        self._registry = registry
        self._worker = worker
        self._failed = failed
        self._shadow_refused = shadow_refused
        self._configs: dict[tuple[str, bytes], Any] = {}

    def layer(self, scope: str, owner: str, policies: Sequence[Policy], earlier: Layer | None = None) -> Layer:
        """Bind the policies of one owner; the ``earlier`` layer lends the instances of policies that stayed the same."""
        if earlier is not None and not earlier.broken and (earlier.policies is policies or earlier.policies == policies):
            return earlier
        known = {bound.label: bound for bound in earlier.bound} if earlier else {}
        return Layer(policies, tuple(self._bind(scope, owner, policy, known.get(policy.label)) for policy in policies))

    def release(self, layer: Layer, successor: Layer | None = None) -> None:
        """Stop the layer's instances that its successor does not use. For when no exchange runs their hooks any more."""
        kept = {id(bound.instance) for bound in successor.bound} if successor else set()
        for bound in layer.bound:
            if bound.instance is not None and id(bound.instance) not in kept:
                self._stop(bound)

    def _bind(self, scope: str, owner: str, policy: Policy, known: Bound | None) -> Bound:
        if known is not None and known.policy == policy and not known.error:
            return known
        info = PolicyInfo(policy.plugin, policy.label, scope, owner, policy.enforce)
        bound = Bound(policy, info)
        if not policy.enabled:
            return bound
        bound.plugin = self._registry.plugins.get(policy.plugin)
        implementations = self._registry.implementations.get(policy.plugin, ())
        try:
            bound.condition = compile_when(policy.when, info.id)
            if known is not None and known.instance is not None and _same_instance(known.policy, policy):
                bound.instance, bound.info = known.instance, known.info
            else:
                bound.instance = self._instance(bound, implementations)
        except Exception as error:  # a plugin's constructor may raise anything
            own = not isinstance(error, NotInstalled | ValidationError | Unresolved)
            bound.error = _reason(error)
            self._worker.log.error(
                "policy %s: plugin %s cannot be used: %s", info.id, policy.plugin, bound.error, exc_info=error if own else None
            )
            self._failed(info, "start")
        bound.steps = tuple(self._steps(bound, implementations))
        return bound

    def _instance(self, bound: Bound, implementations: Sequence[Implementation]) -> Plugin:
        if bound.plugin is None:
            reason = self._registry.failed.get(bound.policy.plugin)
            raise NotInstalled(f"not usable: {reason}" if reason else "not installed")
        instance = bound.plugin(self._config(bound.plugin, bound.policy.config), bound.info)
        if implementations and implementations[0].hook == "start":
            _callable(instance, implementations[0])(self._worker)
        return instance

    def _config(self, plugin: type[Plugin], config: dict[str, Any]) -> Any:
        """Validate the settings, once for all policies that have the same: they are frozen, so they can be shared."""
        try:
            key = plugin.name, orjson.dumps(config)
        except orjson.JSONEncodeError:  # settings made by a program, not read from a file
            return plugin.Config.model_validate(resolve_all(config))
        if b'"$' in key[1]:  # what a reference stands for may change
            return plugin.Config.model_validate(resolve_all(config))
        made = self._configs.get(key)
        if made is None:
            if len(self._configs) >= _CONFIGS_MOST:
                self._configs.clear()
            made = self._configs[key] = plugin.Config.model_validate(config)
        return made

    def _stop(self, bound: Bound) -> None:
        for implementation in self._registry.implementations.get(bound.policy.plugin, ()):
            if implementation.hook == "stop":
                try:
                    _callable(bound.instance, implementation)(self._worker)
                except Exception:  # the plugin is gone either way
                    self._worker.log.exception("policy %s: plugin %s raised while stopping", bound.info.id, bound.policy.plugin)
                    self._failed(bound.info, "stop")

    def _steps(self, bound: Bound, implementations: Sequence[Implementation]) -> Iterable[tuple[str, int, Step]]:
        if bound.error:
            # Of a missing plugin nobody knows the hooks: refuse once the caller is known.
            hooks = [i.hook for i in implementations if i.hook in FAIL_CLOSED] if bound.plugin else ["authorize"]
            for hook in hooks:
                yield hook, _RANK_BROKEN if hook == "authenticate" else 0, self._wrapped(bound, hook, _unavailable(bound))
            return
        assert bound.instance is not None
        used = [i for i in implementations if i.hook not in ("start", "stop") and i.hook not in bound.instance.unused]
        if bound.condition is not None and _needs_early_judgement(bound.policy, used):
            yield "limit", _RANK_JUDGE, _judge(bound.condition)
        plain = bound.condition is None and bound.policy.enforce
        for implementation in used:
            step = _callable(bound.instance, implementation)
            yield implementation.hook, implementation.rank, step if plain else self._wrapped(bound, implementation.hook, step)

    def _wrapped(self, bound: Bound, hook: str, step: Step) -> Step:
        if not bound.policy.enforce and hook in _REFUSING:
            step = _shadow(step, bound.info, hook, self._failed, self._shadow_refused)
        return step if bound.condition is None else _conditional(step, bound.condition)


def _needs_early_judgement(policy: Policy, used: Sequence[Implementation]) -> bool:
    """Tell whether the request may have changed before the first hook looks at the condition."""
    return policy.when is not None and bool(policy.when.paths or policy.when.headers) and all(i.hook not in FAIL_CLOSED for i in used)


def _judge(condition: Condition) -> Step:
    """Return a step that makes a condition look at the request while it is as the client sent it."""

    def judge(exchange: Exchange) -> None:
        condition(exchange)

    return judge


def _reason(error: Exception) -> str:
    """Return what went wrong in one line, without the settings: pydantic would quote them, secrets included."""
    if isinstance(error, ValidationError):
        found = error.errors(include_input=False, include_url=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'config'}: {each['msg']}" for each in found)
    return str(error) if isinstance(error, NotInstalled | Unresolved) else f"{type(error).__name__}: {' '.join(str(error).split())}"


def _same_instance(earlier: Policy, policy: Policy) -> bool:
    """An instance depends on these only (``seen``: what references in the settings stand for); a new ``when`` keeps its state."""
    return (earlier.plugin, earlier.enforce, earlier.config, earlier.seen) == (policy.plugin, policy.enforce, policy.config, policy.seen)


def _callable(instance: Any, implementation: Implementation) -> Step:
    method: Step = getattr(instance, implementation.attribute)
    positions = implementation.arguments
    if positions is None:
        return method

    @wraps(method)
    def some(*arguments: Any) -> Any:
        return method(*[arguments[position] for position in positions])

    return some


def _conditional(step: Step, condition: Condition) -> Step:
    @wraps(step)  # whoever asks finds out whose step it is
    def conditional(exchange: Exchange, *arguments: Any) -> Any:
        return step(exchange, *arguments) if condition(exchange) else None

    return conditional


def _shadow(
    step: Step, info: PolicyInfo, hook: str, failed: Callable[[PolicyInfo, str], object], refused: Callable[[PolicyInfo], object]
) -> Step:
    def shadow(exchange: Exchange) -> Any:
        try:
            answer = step(exchange)
        except Exception:  # what is not enforced refuses nothing, even when it breaks
            failed(info, hook)
            return None
        if isinstance(answer, Reject):
            exchange.notes[shadow_note(info)] = answer.code
            refused(info)
            return None
        return answer

    return shadow


def shadow_note(info: PolicyInfo) -> str:
    """Return the note that says with which code a policy would have refused the exchange."""
    return f"gateway.shadow {info.id}"


def _unavailable(bound: Bound) -> Step:
    def unavailable(exchange: Exchange) -> Reject:
        return Reject(503, "policy_unavailable", f"policy {bound.info.id}: plugin {bound.policy.plugin}: {bound.error}")

    return unavailable
