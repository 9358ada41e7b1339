"""What it costs to choose a member, to change a pool, and to check a thousand members: ``python -m benchmarks.micro_balancing``.

Choices are the smallest of many short runs. ``calibration`` is a fixed piece of pure Python, so that figures of two machines can be
compared by their ratio.
"""

import os
import signal
import time
from collections.abc import Callable

import gevent
from gevent.server import StreamServer

from gateway.agent.checks import Checker
from gateway.hooks.manager import load_plugins
from gateway.http.message import Request
from gateway.model.exchange import Exchange
from gateway.model.pool import Pool
from gateway.net import Event
from gateway.proxy.balancers import balancer_builder
from gateway.proxy.balancing import PoolRuntime

CHECKED = 1000
SECONDS = 8.0


def smallest(action: Callable[[], object], runs: int = 100, times: int = 200) -> float:
    """Return the cost of one call in microseconds: everything above the smallest is another process's work."""
    best = float("inf")
    numbers = range(times)
    for _ in range(runs):
        started = time.perf_counter()
        for _ in numbers:
            action()
        best = min(best, time.perf_counter() - started)
    return best / times * 1e6


def calibration() -> int:
    """Do a fixed amount of ordinary work."""
    return sum([number * number for number in range(20)])


def make(members: int, balancer: str = "round_robin", weights: tuple[int, ...] = (1,), most: int = 0) -> PoolRuntime:
    """Return a pool whose members have these weights in turn."""
    spec = [{"address": f"10.0.{n >> 8}.{n & 255}:80", "weight": weights[n % len(weights)]} for n in range(members)]
    pool = Pool.model_validate(
        {"name": "bench", "balancer": balancer, "members": spec, "limits": {"max_in_flight": most}, "health": {"active": {}}}
    )
    return PoolRuntime(pool, balancer_builder(load_plugins().balancers), Event)


def choices() -> None:
    """Print what one exchange costs in each kind of pool."""
    exchange = Exchange(Request("GET", "/"), "192.0.2.1", 0.0)

    def line(name: str, action: Callable[[], object]) -> None:
        print(f"{name:66} {smallest(action):7.3f} µs")

    line("calibration", calibration)
    for balancer in ("round_robin", "least_connections", "random_two"):
        for members in (3, 1000):
            pool = make(members, balancer)
            line(f"choose + release, {balancer}, {members} members", lambda pool=pool: pool.release(pool.choose(exchange)))  # type: ignore[misc]
    pool = make(3)

    def whole() -> None:
        endpoint = pool.choose(exchange)
        pool.succeeded(endpoint, 0.001)
        pool.report_status(endpoint, 200)
        pool.release(endpoint)

    line("the same with latency and status, round_robin, 3 members", whole)
    for name, limited in (("max_in_flight", make(3, most=100)), ("weights too large for a table", make(3, weights=(65535, 65534, 1)))):
        line(f"choose + release, round_robin, 3 members, {name}", lambda pool=limited: pool.release(pool.choose(exchange)))  # type: ignore[misc]
    for members in (3, 1000):
        pool = make(members)
        tried = [next(iter(pool.endpoints))]
        line(f"a retry, round_robin, {members} members", lambda pool=pool, tried=tried: pool.release(pool.choose(exchange, tried)))  # type: ignore[misc]
    line("may_retry", pool.may_retry)


def changes() -> None:
    """Print what a change costs in a pool of 1,000."""
    for weights in ((1,), (1, 2, 3)):
        pool, flips = make(1000, weights=weights), 40
        began = time.process_time()
        for flip in range(flips):
            pool.health("10.0.0.7:80", bool(flip % 2), "benchmark")
        took = (time.process_time() - began) / flips
        print(f"{f'a change of health among 1,000 members, weights {weights}':66} {took * 1e6:7.0f} µs")


def checks(keep: bool) -> None:
    """Print what the agent's checks of 1,000 members each second cost, when members keep connections open and when they do not."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _serve(writing, keep)
    address = f"127.0.0.1:{int(os.read(reading, 16))}"
    reports: list[str] = []
    checker = Checker(lambda pool, address, healthy, reason: reports.append(reason), seed=1)
    # The address is one, the members are many: each pool has one of them.
    active = {"active": {"interval_s": 1, "timeout_s": 1, "healthy_after": 1}}
    names = [f"pool-{n}" for n in range(CHECKED)]
    try:
        checker.configure({n: Pool.model_validate({"name": n, "members": [{"address": address}], "health": active}) for n in names})
        gevent.sleep(2)  # the first round includes imports and the start of every greenlet
        began, cpu = time.monotonic(), time.process_time()
        gevent.sleep(SECONDS)
        share = (time.process_time() - cpu) / (time.monotonic() - began)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        checker.close()
    assert reports == ["status 200"] * CHECKED, f"{len(reports)} reports"
    name = f"{CHECKED} members checked every second, {'kept' if keep else 'new'} connections"
    print(f"{name:66} {share * 100:6.1f} % of a core, {share / CHECKED * 1e6:.0f} µs a probe")


def _serve(ready: int, keep: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + (b"" if keep else b"Connection: close\r\n") + b"\r\nok"

    def serve(sock: gevent.socket.socket, _: object) -> None:
        while sock.recv(4096):
            sock.sendall(answer)
            if not keep:
                break
        sock.close()

    gevent.reinit()
    server = StreamServer(("127.0.0.1", 0), serve, backlog=1024)
    server.start()
    os.write(ready, str(server.server_port).encode())
    gevent.sleep(60)
    os._exit(0)


def main() -> None:
    """Print all."""
    choices()
    changes()
    checks(keep=True)
    checks(keep=False)


if __name__ == "__main__":
    main()
