"""What recording costs: identity, metrics and access log of an exchange, and an update of a shared table.

Run ``python benchmarks/micro_observe.py``. Microseconds of CPU per call, best of many short runs, the loop taken off. The table
is also measured with several processes at it, which wait for each other in the kernel when they meet.
"""

import os
import struct
import time
from collections.abc import Callable
from time import monotonic, thread_time
from types import SimpleNamespace

from gateway.http.headers import Headers
from gateway.http.message import Request, Response
from gateway.model.consumer import Consumer
from gateway.model.exchange import Exchange
from gateway.model.observe import AccessLogSettings, IdentitySettings
from gateway.model.pool import Member
from gateway.model.route import Route
from gateway.model.snapshot import Snapshot
from gateway.observe.access_log import AccessLog
from gateway.observe.identity import Identity
from gateway.observe.metrics import render
from gateway.observe.recorder import Recorder
from gateway.shared.arena import Arena
from gateway.shared.table import SharedTable


def per_call(function: Callable[[], object], calls: int = 2_000, rounds: int = 60) -> float:
    """Return microseconds of CPU per call."""
    return (_best(function, calls, rounds) - _best(lambda: None, calls, rounds)) / calls * 1e6


def _best(function: Callable[[], object], calls: int, rounds: int) -> float:
    return min(_timed(function, calls) for _ in range(rounds))


def _timed(function: Callable[[], object], calls: int) -> float:
    began = thread_time()
    for _ in range(calls):
        function()
    return thread_time() - began


def an_exchange() -> Exchange:
    headers = Headers.of([("Host", "api.example.com"), ("Accept", "*/*"), ("User-Agent", "curl/8.5")])
    exchange = Exchange(Request("GET", "/users/1234", host="api.example.com", headers=headers), "192.0.2.1", monotonic())
    exchange.listener, exchange.pool = "web", "users"
    exchange.route = Route(name="users")
    exchange.plan = SimpleNamespace(route=exchange.route, series=None)
    exchange.snapshot = Snapshot(revision=1)
    exchange.member, exchange.attempts = Member(address="127.0.0.1:9001"), ["127.0.0.1:9001"]
    exchange.consumer = Consumer("alice")
    exchange.response = Response(200)
    exchange.bytes_out = 1234
    exchange.upstream_started = exchange.started + 0.0002
    exchange.upstream_first_byte = exchange.started + 0.0032
    exchange.finished = exchange.started + 0.0034
    return exchange


def recording(arena: Arena) -> None:
    exchange = an_exchange()
    identity = Identity(IdentitySettings())
    print(f"{'identity: request id and new trace context':<60}{per_call(lambda: identity.assign(exchange, False)):8.2f}")
    continued = an_exchange()
    continued.request.headers.add("traceparent", f"00-{'4b' * 16}-{'f0' * 8}-01")
    print(f"{'identity: trace context continued':<60}{per_call(lambda: identity.assign(continued, False)):8.2f}")
    log = AccessLog(AccessLogSettings(path=os.devnull))
    print(f"{'access log: default line, flushes included':<60}{per_call(lambda: log.write(exchange)):8.2f}")
    counting, both = Recorder(arena, 0), Recorder(arena, 1, os.devnull)
    plan = exchange.plan
    print(f"{'recorder.identify':<60}{per_call(lambda: both.identify(exchange, False)):8.2f}")
    exchange.trace = None
    print(f"{'recorder.finished: metrics':<60}{per_call(lambda: counting.finished(exchange)):8.2f}")
    plan.series = None
    print(f"{'recorder.finished: metrics and access log':<60}{per_call(lambda: both.finished(exchange)):8.2f}")


def gcra(table: SharedTable, key: str) -> Callable[[], bool]:
    """Return one check of a rate limit, as the rate_limit plugin does it."""
    values, acquire, release = table.values, table.acquire, table.release

    def check() -> bool:
        now = monotonic()
        at = acquire(key, now, 60.0)
        due = values[at]
        due = (now if due < now else due) + 0.0006
        admitted: bool = due - now <= 60.0
        if admitted:
            values[at] = due
        release()
        return admitted

    return check


def tables(arena: Arena) -> None:
    table = SharedTable(arena, "bench", values=1)
    check = gcra(table, "consumer:alice")
    print(f"{'table: GCRA, mutex free':<60}{per_call(check):8.2f}")
    arena.sharers[0] = 1
    print(f"{'table: GCRA, only worker':<60}{per_call(check):8.2f}")
    arena.sharers[0] = 0
    numbers = iter(range(10**9))
    new = per_call(lambda: table.acquire(f"ip:{next(numbers)}", 1.0, 60.0), 1_000, 30)
    table.release()
    print(f"{'table: a key never seen before':<60}{new:8.2f}")
    for keys, what in ((1, "one key"), (64, "a key each")):
        for workers in (2, 4):
            took = contended(table, workers, 100_000 // workers, keys)
            print(f"{f'table: GCRA, {workers} processes on {what}':<60}{took:8.2f}")


def contended(table: SharedTable, workers: int, calls: int, keys: int) -> float:
    """Return microseconds of CPU per update while all processes are at it, the kernel's part included."""
    ready, started = os.pipe()
    starting, start = os.pipe()
    results, used = os.pipe()
    children = []
    for worker in range(workers):
        pid = os.fork()
        if pid == 0:
            check = gcra(table, f"shared {worker % keys}")
            os.write(started, b".")
            os.read(starting, 1)
            began = time.process_time()
            for _ in range(calls):
                check()
            os.write(used, struct.pack("<d", time.process_time() - began))
            os._exit(0)
        children.append(pid)
    for _ in children:
        os.read(ready, 1)
    os.write(start, b"." * workers)
    for pid in children:
        os.waitpid(pid, 0)
    total = sum(struct.unpack(f"<{workers}d", os.read(results, 8 * workers)))
    for fd in (ready, started, starting, start, results, used):
        os.close(fd)
    return total / (calls * workers) * 1e6


def scrapes(arena: Arena) -> None:
    recorders = [Recorder(arena, slot) for slot in range(10, 14)]
    for number in range(500):
        exchange = an_exchange()
        exchange.plan = SimpleNamespace(route=Route(name=f"route-{number}"), series=None)
        for recorder in recorders:
            recorder.finished(exchange)
    began = time.perf_counter()
    text = render(arena)
    print(f"{'scrape: 500 routes, 4 workers, milliseconds':<60}{(time.perf_counter() - began) * 1e3:8.1f}   ({len(text) >> 10} KiB)")


if __name__ == "__main__":
    memory = Arena()
    recording(memory)
    tables(memory)
    scrapes(memory)
