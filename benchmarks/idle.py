"""What a worker needs for clients that are connected and silent.

``python -m benchmarks.idle [--connections 10000] [--only gateway,nginx]``; ``make bench`` runs it last.
"""

import argparse
import os
import resource
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import machine
from benchmarks.proxies import PROXIES, Proxy, nginx
from benchmarks.rounds import probe, started
from benchmarks.scenarios import BY_NAME

#: HAProxy reserves two files for each connection it may ever have, which is more than many machines allow.
USUAL = ("gateway", "nginx")
REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: benchmark/1\r\nAccept: */*\r\n\r\n"


@dataclass(frozen=True)
class Idle:
    """Memory of the process that holds the connections, before and with them, and CPU while nothing happens."""

    name: str
    connections: int
    before_mib: float
    with_mib: float
    cpu_percent: float
    #: of 500 connections asked again afterwards, those that did not answer
    lost: int


def allow_connections(count: int) -> int:
    """Raise this process' limit of open files as far as allowed; return how many connections fit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(count, hard - 200)


def holder(root: int) -> int:
    """Return the process of the tree that has most files open: the worker."""
    return max(machine.descendants(root), key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))


def ask(client: socket.socket) -> bool:
    """Send a request, take the answer; return whether it was a good one."""
    try:
        client.sendall(REQUEST)
        return client.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def measure(proxy: Proxy, connections: int) -> Idle:
    """Open connections, use each once, leave them alone and look at the worker."""
    proxy_core, load_core = machine.cores()
    scenario = BY_NAME["plain"]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="bench-backend-")))
        port = machine.free_port()
        backend = nginx.start_backend(directory, port, load_core)
        stack.callback(backend.stop)
        backend.wait_until_it_answers(port, probe(scenario))
        running = stack.enter_context(started(proxy, scenario, f"127.0.0.1:{port}", proxy_core))
        first = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=10))
        ask(first)
        before = {pid: machine.memory_kib(pid)["Rss"] for pid in machine.descendants(running.process.pid)}
        clients: list[socket.socket] = []
        for _ in range(connections):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=10))
            if not ask(client):
                raise RuntimeError(f"{proxy.name} refused connection {len(clients) + 1}")
            clients.append(client)
        worker = holder(running.process.pid)
        time.sleep(1)
        used = running.process.usage()
        time.sleep(3)
        cpu = (running.process.usage() - used).cpu / 1e9 / 3
        lost = sum(not ask(client) for client in clients[:: max(1, connections // 500)])
        return Idle(proxy.title, connections, before[worker] / 1024, machine.memory_kib(worker)["Rss"] / 1024, cpu * 100, lost)


def table(proxies: Sequence[Proxy], connections: int = 10_000) -> str:
    """Measure the proxies one after the other; return a section for RESULTS.md."""
    connections = allow_connections(connections)
    lines = [
        f"\n## {connections:,} idle keep-alive connections to one worker\n\n",
        "|  | memory before | with them | per connection | CPU while idle | lost |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
    ]
    for proxy in proxies:
        one = measure(proxy, connections)
        each = (one.with_mib - one.before_mib) * 1024 / connections
        lines.append(
            f"| {one.name} | {one.before_mib:.0f} MiB | {one.with_mib:.0f} MiB | {each:.1f} KiB | {one.cpu_percent:.1f} % | {one.lost} |\n"
        )
    return "".join(lines)


def main() -> None:
    """Measure what is named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description="Memory of a worker with idle clients.")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--only", default=",".join(USUAL), help="names of proxies")
    given = parser.parse_args()
    machine.end_in_order()
    names = given.only.split(",")
    print(table([proxy for proxy in PROXIES if proxy.name in names and not proxy.missing()], given.connections))


if __name__ == "__main__":
    main()
