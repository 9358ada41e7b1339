"""What routing costs: one ``find`` among 10 to 10,000 routes, a change of one route, a build.

Run ``python benchmarks/micro_router.py``. Times are the best of several runs, in CPU time; the router of each line holds as many
routes as its column says, all of that line's kind.
"""

import gc
from collections.abc import Callable, Iterator
from statistics import median
from time import thread_time
from typing import Any

from gateway.http.headers import Headers
from gateway.http.message import Request
from gateway.model.exchange import Exchange
from gateway.model.route import Route
from gateway.proxy.router import Entry, Router

SIZES = (10, 100, 1000, 10_000)
#: kind -> (the match of route number n, path, host) of which the middle route is asked for
KINDS: dict[str, tuple[Callable[[int], dict[str, Any]], str, str]] = {
    "prefix": (lambda n: {"paths": [f"/service-{n}"]}, "/service-{n}/items/42", "api.example.com"),
    "prefix and methods": (lambda n: {"paths": [f"/service-{n}"], "methods": ["GET", "POST"]}, "/service-{n}/items/42", "api.example.com"),
    "exact path": (lambda n: {"paths": [f"=/service-{n}/items"]}, "/service-{n}/items", "api.example.com"),
    "exact host": (lambda n: {"hosts": [f"h{n}.example.com"]}, "/items/42", "h{n}.example.com"),
    "wildcard host": (lambda n: {"hosts": [f"*.h{n}.example.com"]}, "/items/42", "a.h{n}.example.com"),
    "template": (lambda n: {"paths": [f"/service-{n}/items/{{id}}"]}, "/service-{n}/items/42", "api.example.com"),
    "template beside a literal": (
        lambda n: {"paths": [f"/service-{n}/items/{{id}}", f"/service-{n}/items/new"]},
        "/service-{n}/items/new",
        "api.example.com",
    ),
    "header": (lambda n: {"paths": [f"/service-{n}"], "headers": {"X-Kind": "a"}}, "/service-{n}/items/42", "api.example.com"),
    "regex in its prefix": (lambda n: {"paths": [f"~^/service-{n}/items/[0-9]+$"]}, "/service-{n}/items/42", "api.example.com"),
    "nothing found": (lambda n: {"paths": [f"/service-{n}"]}, "/else/{n}", "api.example.com"),
}


def entries(kind: str, count: int) -> Iterator[Entry]:
    """Make the routes of a kind."""
    match = KINDS[kind][0]
    for number in range(count):
        route = Route.model_validate({"name": f"route-{number}", "match": match(number)})
        yield Entry(route, None, route.name)


def exchange(kind: str, number: int) -> Exchange:
    """Make the request for one of them."""
    _, path, host = KINDS[kind]
    headers = Headers.of([("Host", "api.example.com"), ("X-Kind", "a"), ("Accept", "*/*")])
    request = Request("GET", path.replace("{n}", str(number)), host=host.replace("{n}", str(number)), headers=headers)
    return Exchange(request, "192.0.2.1", 0.0)


def per_call(function: Callable[[], object], calls: int = 20_000, rounds: int = 7) -> float:
    """Return microseconds of CPU per call, the loop itself taken off."""
    best = min(_timed(function, calls) for _ in range(rounds))
    return (best - min(_timed(lambda: None, calls) for _ in range(rounds))) / calls * 1e6


def _timed(function: Callable[[], object], calls: int) -> float:
    began = thread_time()
    for _ in range(calls):
        function()
    return thread_time() - began


def main() -> None:
    """Print the tables."""
    print(f"{'µs per find':28}" + "".join(f"{size:>10,}" for size in SIZES))
    for kind in KINDS:
        costs = []
        for size in SIZES:
            router, asked = Router.build(entries(kind, size)), exchange(kind, size // 2)
            assert (router.find(asked) is None) is (kind == "nothing found")
            costs.append(per_call(lambda router=router, asked=asked: router.find(asked)))  # type: ignore[misc]
        print(f"{kind:28}" + "".join(f"{cost:10.2f}" for cost in costs))
    refusals = []
    for size in SIZES:
        router, asked = Router.build(entries("nothing found", size)), exchange("nothing found", 0)
        refusals.append(per_call(lambda router=router, asked=asked: router.refusal(asked)))  # type: ignore[misc]
    print(f"{'  and why':28}" + "".join(f"{cost:10.2f}" for cost in refusals))
    print(f"\n{'with 10,000 routes':28}{'build ms':>10}{'change ms':>10}{'at most':>10}")
    for kind in ("prefix", "exact host", "template"):
        made = list(entries(kind, 10_000))
        gc.collect()
        began = thread_time()
        router = Router.build(made)
        built = thread_time() - began
        changes = []
        for number in range(0, 10_000, 200):
            began = thread_time()
            router = router.updated([f"route-{number}"], [made[number]])
            changes.append(thread_time() - began)
        print(f"{kind:28}{built * 1e3:10.0f}{median(changes) * 1e3:10.2f}{max(changes) * 1e3:10.2f}")


if __name__ == "__main__":
    main()
