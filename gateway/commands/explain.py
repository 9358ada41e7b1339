"""``gateway explain``: say where a request would go, why, and what would happen to it on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry
    from gateway.model.exchange import Exchange
    from gateway.model.policy import Policy
    from gateway.model.route import Route
    from gateway.model.snapshot import Snapshot
    from gateway.proxy.explain import Verdict

#: Other routes that are shown unless all are asked for.
_SHOWN = 10


@click.command(name="explain")
@click.argument("method")
@click.argument("url")
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the request; may be repeated.")
@click.option("--client", default="127.0.0.1", show_default=True, metavar="IP", help="The client's address.")
@click.option("--consumer", metavar="NAME", help="Who calls: adds the consumer's own policies to the plan.")
@click.option("--config", default="gateway.yaml", show_default=True, metavar="FILE", help="Configuration file or directory.")
@click.option("--all", "show_all", is_flag=True, help=f"Show every route that was not taken, not only the {_SHOWN} closest.")
@click.option("--json", "as_json", is_flag=True, help="Print everything for programs.")
def command(
    method: str, url: str, headers: tuple[str, ...], client: str, consumer: str | None, config: str, show_all: bool, as_json: bool
) -> None:
    """Say which route takes a request and why the others do not, and which policies act at each hook, with the scope they come from.

    Nothing is sent. Exits with 1 when no route takes the request.
    """
    from gateway.commands.check import installed, show
    from gateway.control.problems import ConfigErrors
    from gateway.control.source import compile_file
    from gateway.http.errors import GatewayError
    from gateway.proxy.explain import exchange_for, explain
    from gateway.proxy.router import Entry, Router

    registry = installed()
    try:
        snapshot = compile_file(config, registry, lenient=True).snapshot
    except ConfigErrors as found:
        show(found.problems, "error", "red")
        raise SystemExit(1) from None
    if consumer is not None and consumer not in snapshot.consumers:
        raise click.ClickException(f"there is no consumer {consumer!r}")
    try:
        exchange = exchange_for(method, url, [_header(text) for text in headers], client)
    except (GatewayError, ValueError) as error:
        raise click.ClickException(f"a client would get a 400 for this: {error}") from None
    router = Router.build(Entry(route, snapshot.apis.get(route.api or ""), route) for route in snapshot.routes.values())
    verdicts = explain(router, exchange)
    taken = verdicts[0].route if verdicts and verdicts[0].verdict == "chosen" else None
    if taken is not None:
        router.find(exchange)
    plan = _plan(registry, _scopes(snapshot, taken, consumer))
    if as_json:
        _print_json(exchange, verdicts, taken, plan)
    else:
        _print(snapshot, exchange, verdicts, taken, plan, len(verdicts) if show_all else _SHOWN)
    if taken is None:
        raise SystemExit(1)


@dataclass(frozen=True)
class _Placed:
    """A policy with the scope it comes from."""

    policy: Policy
    origin: str

    @property
    def label(self) -> str:
        return self.policy.label

    @property
    def enabled(self) -> bool:
        return self.policy.enabled

    @property
    def remarks(self) -> list[str]:
        found = [self.origin]
        if self.policy.plugin != self.label:
            found.append(f"plugin {self.policy.plugin}")
        if self.policy.when is not None:
            conditions = self.policy.when.model_dump(mode="json", exclude_defaults=True)
            word = "unless" if conditions.pop("unless", False) else "when"
            found.append(f"{word} " + ", ".join(f"{key} {_words(value)}" for key, value in conditions.items()))
        if not self.policy.enforce:
            found.append("shadow mode: refuses nothing")
        return found


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.ClickException(f"{text!r} is not NAME:VALUE")
    return name.strip(), value.strip()


def _scopes(snapshot: Snapshot, route: Route | None, consumer: str | None) -> Iterable[list[_Placed]]:
    yield [_Placed(policy, "gateway") for policy in snapshot.policies]
    if route is not None and route.api is not None:
        yield [_Placed(policy, f"api {route.api}") for policy in snapshot.apis[route.api].policies]
    if route is not None:
        yield [_Placed(policy, f"route {route.name}") for policy in route.policies]
    if consumer is not None:
        yield [_Placed(policy, f"consumer {consumer}") for policy in snapshot.consumers[consumer].policies]


def _plan(registry: Registry, scopes: Iterable[list[_Placed]]) -> dict[str, list[_Placed]]:
    """Return the policies that act at each hook, in running order."""
    from gateway.hooks.order import EXCHANGE
    from gateway.hooks.scopes import enabled_only, merge

    found: dict[str, list[tuple[int, _Placed]]] = {hook: [] for hook in EXCHANGE}
    for placed in enabled_only(merge(*scopes)):
        for implementation in registry.implementations.get(placed.policy.plugin, ()):
            if implementation.hook in found:
                found[implementation.hook].append((implementation.rank, placed))
    return {hook: [placed for _, placed in sorted(steps, key=lambda step: step[0])] for hook, steps in found.items() if steps}


def _print(
    snapshot: Snapshot, exchange: Exchange, verdicts: list[Verdict], taken: Route | None, plan: dict[str, list[_Placed]], most: int
) -> None:
    if taken is None:
        reason = verdicts[0].reason if verdicts and verdicts[0].verdict == "refused" else "No route takes it: 404 no_route."
        click.echo(click.style(reason, fg="red"))
        others = verdicts
    else:
        click.echo(f"{click.style(f'route {taken.name}', fg='green', bold=True)}: {verdicts[0].reason}")
        others = verdicts[1:]
        for name, value in exchange.captures.items():
            click.echo(f"  {{{name}}} is {value!r}")
        for line in _destination(snapshot, taken):
            click.echo(f"  {line}")
    if plan:
        click.echo("\nPolicies, in running order:" if taken is not None else "\nPolicies of gateway scope act all the same:")
        width = max(map(len, plan))
        for hook, steps in plan.items():
            for index, placed in enumerate(steps):
                click.echo(f"  {'' if index else hook:{width}}  {placed.label}  ({'; '.join(placed.remarks)})")
    elif taken is not None:
        click.echo("\nNo policy acts on it.")
    if others:
        click.echo("\nOther routes:")
        for verdict in others[:most]:
            click.echo(f"  {verdict.route.name}: {verdict.reason}")
        if len(others) > most:
            click.echo(f"  and {len(others) - most} more (--all)")


def _destination(snapshot: Snapshot, route: Route) -> Iterable[str]:
    if route.compose is not None:
        for part in route.compose.parts:
            wanted = "" if part.required else ", may be missing"
            yield f"part {part.name}: {part.method} {part.path or 'the same path'} from pool {part.pool}{wanted}"
        return
    pool = snapshot.pools[route.pool or ""]
    members = ", ".join(member.address if member.state == "ready" else f"{member.address} ({member.state})" for member in pool.members)
    yield f"to pool {pool.name} ({pool.balancer_name}): {members or 'no members: 503'}"
    if route.strip_path:
        yield "the matched part of the path is removed"
    if route.rewrite_path is not None:
        yield f"with the path {route.rewrite_path}"


def _print_json(exchange: Exchange, verdicts: list[Verdict], taken: Route | None, plan: dict[str, list[_Placed]]) -> None:
    import orjson

    policies = {
        hook: [
            {
                "policy": placed.label,
                "plugin": placed.policy.plugin,
                "scope": placed.origin,
                "enforce": placed.policy.enforce,
                "when": placed.policy.when.model_dump(mode="json", exclude_defaults=True) if placed.policy.when else None,
            }
            for placed in steps
        ]
        for hook, steps in plan.items()
    }
    report: dict[str, Any] = {
        "route": taken.name if taken is not None else None,
        "captures": exchange.captures,
        "version": exchange.version,
        "pool": taken.pool if taken is not None else None,
        "policies": policies,
        "routes": [{"route": verdict.route.name, "verdict": verdict.verdict, "reason": verdict.reason} for verdict in verdicts],
    }
    click.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2))


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" if item else key for key, item in value.items())
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)
