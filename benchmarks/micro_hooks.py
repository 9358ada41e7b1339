"""What plans and the first plugins cost: 10,000 routes with three policies each compiled and changed; each hook called.

Run ``python -m benchmarks.micro_hooks [ROUTES]``. Times are CPU times; of a call the best of many rounds. A slice is what
is used between two calls of ``pause``, which is how long a worker's loop would have stood still.
"""

import gc
import sys
import timeit
from collections.abc import Callable
from time import process_time

from gateway_auth.key_auth import KeyAuth
from gateway_limits.rate_limit import RateLimit
from gateway_transform.headers import HeadersPlugin

from benchmarks.micro_control import Stopwatch
from gateway.api import Plugin, Response
from gateway.hooks.manager import Registry
from gateway.hooks.plan import Planner
from gateway.model.route import Route
from gateway.model.snapshot import Snapshot
from gateway.server.core import GC_THRESHOLDS
from gateway.testing import LoneWorker, make_exchange, make_plugin, make_snapshot

KEY = "alice-key-0123456789"
LIMIT = {"requests": 10**9, "per_s": 1}
PLUGINS = (KeyAuth, RateLimit, HeadersPlugin)


def per_call(call: Callable[[], object], rounds: int = 200) -> float:
    """Return microseconds of CPU per call."""
    return min(timeit.repeat(call, timer=process_time, number=2000, repeat=rounds)) / 2000 * 1e6


def route(number: int) -> Route:
    policies = [
        {"plugin": "key_auth"},
        {"plugin": "rate_limit", "config": {"limits": [{"requests": 100 + number % 7, "per_s": 60}]}},
        {"plugin": "headers", "config": {"request": {"set": {"X-Route": f"route-{number}"}}}},
    ]
    return Route.model_validate({"name": f"route-{number}", "policies": policies})


def plans(count: int) -> None:
    registry = Registry()
    for plugin in PLUGINS:
        registry.add(plugin)
    planner = Planner(registry, LoneWorker(), lambda policy, hook: print(policy.id, hook), lambda policy: None)
    routes = {f"route-{number}": route(number) for number in range(count)}
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    first, changed = Snapshot(routes=routes), Snapshot(routes={**routes, "route-0": route(1_000_000)})
    for what, snapshot in (("every plan", first), ("again, after a change of one route", changed)):
        with Stopwatch() as watch:
            made = planner.compile(snapshot, watch.pause)
        watch.report(f"{what} ({len(made.changed)} new)")
        planner.adopt(made)


def calls() -> None:
    credential = {"plugin": "key_auth", "config": {"key": KEY}}
    snapshot = make_snapshot({"consumers": [{"name": "alice", "groups": ["gold"], "credentials": [credential]}]}, KeyAuth)
    sent = [(f"X-Header-{number}", "value") for number in range(6)] + [("X-API-Key", KEY), ("Host", "test.example"), ("Accept", "*/*")]
    exchange = make_exchange("GET", "/", sent, snapshot=snapshot, response=Response(200, [("Content-Type", "text/plain"), ("Date", "x")]))
    exchange.consumer = snapshot.consumers["alice"]
    request, response = exchange.request, exchange.response
    assert response is not None
    before, after = request.headers, response.headers

    def renew() -> None:
        request.headers, response.headers = before.copy(), after.copy()

    idle = per_call(renew)

    def report(plugin: type[Plugin], config: dict[str, object], hook: str) -> None:
        instance = make_plugin(plugin, config)
        method = getattr(instance, hook)
        if isinstance(instance, RateLimit):
            instance.limit(exchange)

        def call() -> None:
            renew()
            method(exchange)

        print(f"{plugin.name:12} {hook:20} {config!s:110} {per_call(call) - idle:6.2f} µs", flush=True)

    report(KeyAuth, {}, "authenticate")
    report(KeyAuth, {}, "transform_request")
    for limits in ([LIMIT], [LIMIT, {**LIMIT, "per_s": 60}], [LIMIT, {**LIMIT, "per_s": 86400, "window": "fixed"}]):
        report(RateLimit, {"limits": limits}, "limit")
        report(RateLimit, {"limits": limits}, "transform_response")
    for value in ("fixed", "{consumer}", "c={consumer};a={client}"):
        report(HeadersPlugin, {"request": {"set": {"X-New": value}}}, "transform_request")


if __name__ == "__main__":
    plans(*map(int, sys.argv[1:] or ["10000"]))
    gc.unfreeze()
    calls()
