"""Plans: for each route, what to call at each hook, decided when a snapshot loads.

pluggy decides, plain calls run: it has checked the plugin classes and says which hook methods come first or last; a
plan holds the resulting bound methods as tuples, so that an unused hook costs nothing and a used one a plain call
(pluggy's own call costs 0.7 to 1.9 µs). Order: ``tryfirst``, the rest, ``trylast``; among equals the order of
policies that ``scopes.merge`` defines and the operator sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gateway.hooks.instances import Bound, InstanceCache, Layer, Step, shadow_note
from gateway.hooks.order import EXCHANGE
from gateway.hooks.plugin import PolicyInfo, Reject
from gateway.hooks.scopes import enabled_only, merge

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry
    from gateway.hooks.plugin import Worker
    from gateway.model.consumer import Consumer
    from gateway.model.exchange import Exchange
    from gateway.model.policy import Policy
    from gateway.model.route import Route
    from gateway.model.snapshot import Snapshot

#: Plans of a consumer on a route that are kept; making one again costs some ten microseconds.
PERSONAL_MOST = 16_384
#: Seconds between two calls of ``pause``, looked at after each route.
SLICE_S = 0.002


class Chain:
    """Policies put together, as one tuple of steps per hook. Routes without policies of their own share one."""

    __slots__ = ("bound", "steps", "challenges", "broken", "_nobody", "_owners")

    def __init__(self, bound: tuple[Bound, ...], shadow_refused: Callable[[PolicyInfo], object]) -> None:
        self.bound = bound
        enabled = enabled_only(bound)
        #: a plugin could not be set up; tried again with the next snapshot
        self.broken = False
        found: dict[str, list[tuple[int, Step]]] = {}
        for policy in enabled:
            if policy.error:
                self.broken = True
            for hook, rank, step in policy.steps:
                found.setdefault(hook, []).append((rank, step))
        for steps in found.values():
            if len(steps) > 1:
                steps.sort(key=itemgetter(0))
        self.challenges: tuple[str, ...] = ()
        self._nobody: tuple[Step, PolicyInfo] | None = None
        if "authenticate" in found:
            methods = [policy for policy in enabled if any(hook == "authenticate" for hook, _, _ in policy.steps)]
            self.challenges = _challenges(policy for policy in methods if policy.policy.enforce)
            nobody = _nobody(methods, shadow_refused)
            found["authenticate"].append((0, nobody))
            self._nobody = nobody, methods[0].info
        self.steps = tuple([tuple([step for _, step in found[hook]]) if hook in found else () for hook in EXCHANGE])
        self._owners: dict[Step, PolicyInfo] | None = None

    @property
    def owners(self) -> dict[Step, PolicyInfo]:
        """Step -> policy; made when it is first asked for, because only refusals, failures and traces ask."""
        if self._owners is None:
            self._owners = {step: policy.info for policy in self.bound for _, _, step in policy.steps}
            if self._nobody is not None:
                self._owners[self._nobody[0]] = self._nobody[1]
        return self._owners


class Plan:
    """What happens on a route: for each hook of ``order.EXCHANGE`` a tuple of callables.

    The last ``authenticate`` step is the core's: where a method of authentication applies and none has named the
    caller it returns the 401 with the challenges, so that running the steps until one answers is all there is to do.
    """

    __slots__ = (*EXCHANGE, "route", "challenges", "target", "series", "chain", "base", "_planner")

    authenticate: tuple[Step, ...]
    authorize: tuple[Step, ...]
    limit: tuple[Step, ...]
    transform_request: tuple[Step, ...]
    respond: tuple[Step, ...]
    select_backend: tuple[Step, ...]
    aggregate: tuple[Step, ...]
    transform_response: tuple[Step, ...]
    log: tuple[Step, ...]

    def __init__(self, route: Route | None, chain: Chain, base: Chain, planner: Planner) -> None:
        (
            self.authenticate, self.authorize, self.limit, self.transform_request, self.respond,
            self.select_backend, self.aggregate, self.transform_response, self.log,
        ) = chain.steps  # fmt: skip
        #: ``None`` for exchanges that no route matches
        self.route = route
        #: ``WWW-Authenticate`` values of the enforced methods of authentication
        self.challenges = chain.challenges
        #: set by the worker: where requests of this route go, and what is counted for it
        self.target: Any = None
        self.series: Any = None
        #: all policies that act here, and those of the wider scopes alone
        self.chain = chain
        self.base = base
        self._planner = planner

    @property
    def owners(self) -> dict[Step, PolicyInfo]:
        """Which policy a step belongs to."""
        return self.chain.owners

    def for_consumer(self, consumer: Consumer) -> Plan:
        """Return the plan with the consumer's own policies merged in; this one when there are none."""
        return self._planner.personal(self, consumer) if consumer.policies else self


Layers = dict[tuple[str, str], Layer]


class Plans(Mapping[str, Plan]):
    """The plans of a snapshot, by name of route."""

    def __init__(
        self,
        plans: dict[str, Plan],
        unrouted: Plan,
        bases: dict[str | None, Chain],
        layers: Layers,
        changed: list[str],
        consumers: Mapping[str, Consumer],
    ) -> None:
        self._plans = plans
        #: gateway scope only, for exchanges that no route matches
        self.unrouted = unrouted
        #: routes whose plan is not the one of the snapshot before
        self.changed = changed
        #: by API
        self.bases = bases
        self.layers = layers
        self.consumers = consumers

    def __getitem__(self, name: str) -> Plan:
        return self._plans[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's; Mapping's own would go through an exception."""
        return self._plans.get(name, default)


class Planner:
    """Compiles snapshots into plans, in one worker. Plans and instances that nothing changed are the same objects afterwards.

    ``compile``, then ``adopt`` when the worker swaps snapshots (or ``discard``), then ``release`` once the exchanges
    of the old snapshot are over; ``release_all`` when the worker ends.
    """

    def __init__(
        self,
        registry: Registry,
        worker: Worker,
        failed: Callable[[PolicyInfo, str], object],
        shadow_refused: Callable[[PolicyInfo], object],
    ) -> None:
        self._instances = InstanceCache(registry, worker, failed, shadow_refused)
        self._shadow_refused = shadow_refused
        self._plans: Plans | None = None
        self._consumers: dict[str, Layer] = {}
        self._personal: dict[tuple[Plan, Consumer], Plan] = {}
        #: layers out of use, each with the one that took its place
        self._gone: list[tuple[Layer, Layer | None]] = []

    def compile(self, snapshot: Snapshot, pause: Callable[[], object] | None = None) -> Plans:
        """Make the plans of a snapshot, starting what is new in it. Never raises because of a plugin.

        ``pause`` is called every now and then, to let other greenlets run.
        """
        old = self._plans
        earlier: Layers = old.layers if old else {}
        layers: Layers = {}

        def bound(scope: str, name: str, policies: Sequence[Policy]) -> tuple[Bound, ...]:
            made = layers[scope, name] = self._instances.layer(scope, name, policies, earlier.get((scope, name)))
            return made.bound

        widest = self._chain(bound("gateway", "", snapshot.policies), old.unrouted.chain if old else None)
        unrouted = self._plan(None, widest, widest, old.unrouted if old else None)
        bases: dict[str | None, Chain] = {}
        for name, api in snapshot.apis.items():
            merged = merge(widest.bound, bound("api", name, api.policies)) if api.policies else widest.bound
            bases[name] = self._chain(merged, widest, old.bases.get(name) if old else None)
        plans: dict[str, Plan] = {}
        changed: list[str] = []
        since = perf_counter()
        for name, route in snapshot.routes.items():
            before = old.get(name) if old else None
            base = bases.get(route.api, widest)
            if before is not None and before.route is route and before.base is base and not before.chain.broken:
                plans[name] = before
                if route.policies:
                    layers["route", name] = earlier["route", name]
            else:
                chain = base
                if route.policies:
                    chain = self._chain(merge(base.bound, bound("route", name, route.policies)), base, before.chain if before else None)
                plan = plans[name] = self._plan(route, chain, base, before)
                if plan is not before:
                    changed.append(name)
            if pause is not None and perf_counter() - since > SLICE_S:
                pause()
                since = perf_counter()
        return Plans(plans, unrouted, bases, layers, changed, snapshot.consumers)

    def adopt(self, plans: Plans) -> None:
        """Take these plans as the ones in force."""
        old, self._plans = self._plans, plans
        if old is not None:
            self._retire(old.layers, plans.layers)
        for name in self._consumers.keys() - plans.consumers.keys():
            self._gone.append((self._consumers.pop(name), None))
        self._personal.clear()

    def discard(self, plans: Plans) -> None:
        """Forget compiled plans that were not adopted."""
        earlier = self._plans.layers if self._plans else {}
        for key, layer in plans.layers.items():
            if (before := earlier.get(key)) is not layer:
                self._instances.release(layer, before)

    def release(self) -> None:
        """Stop the instances that adopted plans left behind."""
        gone, self._gone = self._gone, []
        for layer, successor in gone:
            self._instances.release(layer, successor)

    def release_all(self) -> None:
        """Stop every instance."""
        self.release()
        for layer in (*(self._plans.layers.values() if self._plans else ()), *self._consumers.values()):
            self._instances.release(layer)

    def personal(self, plan: Plan, consumer: Consumer) -> Plan:
        """Return the plan with the consumer's policies; kept until the next snapshot."""
        key = plan, consumer
        found = self._personal.get(key)
        if found is None:
            found = self._make_personal(plan, consumer)
            if len(self._personal) >= PERSONAL_MOST:
                del self._personal[next(iter(self._personal))]
            self._personal[key] = found
        found.target = plan.target
        if found.series is None:
            found.series = plan.series
        elif plan.series is None:  # the first exchange of the route had this consumer: all may count in the same place
            plan.series = found.series
        return found

    def _make_personal(self, plan: Plan, consumer: Consumer) -> Plan:
        before = self._consumers.get(consumer.name)
        layer = self._instances.layer("consumer", consumer.name, consumer.policies, before)
        if layer is not before:
            self._consumers[consumer.name] = layer
            if before is not None:
                self._gone.append((before, layer))
        return Plan(plan.route, Chain(merge(plan.chain.bound, layer.bound), self._shadow_refused), plan.base, self)

    def _chain(self, bound: tuple[Bound, ...], *known: Chain | None) -> Chain:
        for chain in known:
            if chain is not None and chain.bound == bound:
                return chain
        return Chain(bound, self._shadow_refused)

    def _plan(self, route: Route | None, chain: Chain, base: Chain, before: Plan | None) -> Plan:
        if before is not None and before.route is route and before.chain is chain and before.base is base:
            return before
        return Plan(route, chain, base, self)

    def _retire(self, old: Layers, new: Layers) -> None:
        for key, layer in old.items():
            if (successor := new.get(key)) is not layer:
                self._gone.append((layer, successor))


def _challenges(methods: Iterable[Bound]) -> tuple[str, ...]:
    """Return the distinct challenges, in order."""
    return tuple(dict.fromkeys(m.instance.challenge for m in methods if m.instance is not None and m.instance.challenge))


def _nobody(methods: Sequence[Bound], shadow_refused: Callable[[PolicyInfo], object]) -> Step:
    """Return the step for callers whom no method of authentication has named."""

    def nobody(exchange: Exchange) -> Reject | None:
        asked = [method for method in methods if method.condition is None or method.condition(exchange)]
        enforced = [method for method in asked if method.policy.enforce]
        if not enforced:
            for info in [method.info for method in asked]:
                if shadow_note(info) not in exchange.notes:
                    exchange.notes[shadow_note(info)] = "unauthenticated"
                    shadow_refused(info)
            return None
        challenges = [("WWW-Authenticate", challenge) for challenge in _challenges(enforced)]
        return Reject(401, "unauthenticated", "no credential of a kind that this route accepts", challenges)

    return nobody
