"""What a configuration costs: 10,000 routes and 100,000 consumers compiled, changed, stored and loaded.

Run ``python benchmarks/micro_control.py [ROUTES CONSUMERS]``. Times are CPU times of one run; a slice is what is used
between two calls of ``pause``, which is how long a worker's loop would have stood still.
"""

import hashlib
import sys
import tempfile
from pathlib import Path
from time import thread_time
from typing import Any

import orjson
from pydantic import BaseModel

from gateway.api import Plugin, Secret
from gateway.control import delta, load, store
from gateway.control.compile import compile_config
from gateway.defaults.round_robin import RoundRobin
from gateway.hooks.manager import Registry


class KeyAuth(Plugin):
    """Stands for a plugin with credentials."""

    name = "key_auth"

    class Credential(BaseModel):
        key: Secret

    @classmethod
    def lookup(cls, credential: Any) -> tuple[str, None]:
        return hashlib.sha256(credential.key.encode()).hexdigest(), None


class RateLimit(Plugin):
    """Stands for a plugin with settings."""

    name = "rate_limit"

    class Config(Plugin.Config):
        requests: int
        per_s: float


def configuration(routes: int, consumers: int) -> dict[str, Any]:
    """Make a configuration as an operator of many small APIs would have it."""
    return {
        "version": 1,
        "listeners": [{"name": "web", "address": "127.0.0.1:8000"}],
        "pools": [{"name": f"pool-{n}", "members": [{"address": f"10.0.{n}.{m}:80"} for m in (1, 2)]} for n in range(100)],
        "routes": [
            {
                "name": f"route-{n}",
                "match": {"hosts": [f"api{n % 50}.example.com"], "paths": [f"/service-{n}/items"]},
                "pool": f"pool-{n % 100}",
                "policies": [{"plugin": "key_auth"}, {"plugin": "rate_limit", "config": {"requests": 100 + n % 7, "per_s": 60}}],
            }
            for n in range(routes)
        ],
        "consumers": [
            {
                "name": f"consumer-{n}",
                "groups": ["gold" if n % 10 else "free"],
                "credentials": [{"plugin": "key_auth", "config": {"key": f"key-{n}"}}],
            }
            for n in range(consumers)
        ],
    }


class Stopwatch:
    """Notes how long slices were."""

    def __init__(self) -> None:
        self.slices: list[float] = []
        self._since = thread_time()

    def pause(self) -> None:
        self.slices.append(thread_time() - self._since)
        self._since = thread_time()

    def __enter__(self) -> "Stopwatch":
        self._since = thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def report(self, what: str) -> None:
        total, longest = sum(self.slices) * 1000, max(self.slices) * 1000
        pieces = f", longest of {len(self.slices)} slices {longest:.1f} ms" if len(self.slices) > 1 else ""
        print(f"{what:48} {total:9.1f} ms{pieces}", flush=True)


def main(routes: int = 10_000, consumers: int = 100_000) -> None:
    registry = Registry()
    for plugin in (KeyAuth, RateLimit, RoundRobin):
        registry.add(plugin)
    data = configuration(routes, consumers)
    print(f"{routes} routes, {consumers} consumers, {len(orjson.dumps(data)) / 1e6:.1f} MB as JSON")
    with Stopwatch() as watch:
        first = compile_config(data, registry)
    watch.report("compile everything")
    data = orjson.loads(orjson.dumps(data))
    if routes:
        data["routes"][routes // 2]["strip_path"] = True
    if consumers:
        data["consumers"][consumers // 2]["groups"] = ["platinum"]
    with Stopwatch() as watch:
        second = compile_config(data, registry, first)
    watch.report("compile after a change of a route and a consumer")
    with Stopwatch() as watch:
        change = delta.difference(first.document, second.document)
    watch.report(f"delta ({len(orjson.dumps(change))} octets)")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "snapshot.json"
        with Stopwatch() as watch:
            store.write(path, first.document)
        watch.report(f"write the last good file ({path.stat().st_size / 1e6:.1f} MB)")
        with Stopwatch() as watch:
            snapshot = store.use(path, lambda chunks: load.load_chunks(chunks, watch.pause))
        watch.report("worker: read and load it")
        with Stopwatch() as watch:
            store.use(path, lambda chunks: load.load_chunks(chunks, watch.pause, snapshot))
        watch.report("worker: the same again, all of it known")
    with Stopwatch() as watch:
        load.apply(snapshot, change, watch.pause)
    watch.report("worker: apply the delta")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
