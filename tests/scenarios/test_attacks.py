"""A thousand connections that are slow on purpose: others hardly notice, memory is bounded, and the slow ones end at their deadlines.

Clients and backends are processes of their own (those of the benchmarks), so that what is measured is the gateway and not Python threads.
"""

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks import paced, sink, slow
from benchmarks.idle import allow_connections
from gateway.server.binding import UNSENT_OCTETS
from gateway.testing import free_ports
from tests.scenarios.backend import Backend
from tests.scenarios.load import Connection
from tests.scenarios.node import Node, cpu_s, eventually, memory_kib

#: time and memory are measured, so nothing else may run
pytestmark = pytest.mark.alone

SLOW = 1000
IDLE = 10_000
HEAD_S, BODY_IDLE_S, TOTAL_S = 3, 3, 4
#: how much later than its deadline a connection may end: deadlines are swept four times a second, and a closing connection lingers 2 s
LATE_S = 4
#: memory of the worker for each connection that is in the middle of something
MOST_KIB_EACH = 64
#: a machine that is busy with something else meets the quiet and the attacked half of a round alike only by chance: the best one counts
ROUNDS = 5


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> Iterator[None]:
    """Let this process, and what it starts, have as many connections as it takes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert allow_connections(IDLE) == IDLE, "these tests need 10,200 open files: raise the hard limit (ulimit -Hn)"
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Backends: one for those who are not slow, two for those who are."""
    large = Backend("large")
    ports = free_ports(2)
    sinks = [subprocess.Popen([sys.executable, sink.__file__, str(port)]) for port in ports]
    yield {"small": f"127.0.0.1:{ports[0]}", "uploads": f"127.0.0.1:{ports[1]}", "large": large.address}
    large.kill()
    for process in sinks:
        process.kill()
        process.wait(10)


def pools(addresses: dict[str, str], **timeouts: float) -> list[dict[str, Any]]:
    return [{"name": name, "members": [{"address": address}], "timeouts": timeouts} for name, address in addresses.items()]


@pytest.fixture(scope="module")
def node(addresses, tmp_path_factory) -> Iterator[Node]:
    """A gateway with the deadlines that it has unless told."""
    routes = [
        {"name": "small", "pool": "small"},
        {"name": "uploads", "match": {"methods": ["POST"]}, "pool": "uploads"},
        {"name": "large", "match": {"paths": ["/large"]}, "pool": "large"},
    ]
    node = Node(tmp_path_factory.mktemp("attacks"), {"pools": pools(addresses), "routes": routes})
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def hasty(node, addresses) -> Node:
    """The same with short ones, from here to the end of the module."""
    limits = {"head_s": HEAD_S, "body_idle_s": BODY_IDLE_S, "keep_alive_s": 300}
    listener = {"name": "web", "address": node.address, "http": limits}
    node.change(listeners=[listener], pools=pools(addresses, idle_s=BODY_IDLE_S, total_s=TOTAL_S))
    return node


def port_of(node: Node) -> int:
    return int(node.address.rpartition(":")[2])


def connections(node: Node) -> int:
    count: int = node.status()["workers"][0]["connections"]
    return count


def unread_octets(node: Node) -> int:
    """Return what the kernel holds for clients that do not read it."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(fields[4].partition(":")[0], 16) for fields in lines if int(fields[1].partition(":")[2], 16) == port_of(node))


def calm(worker: int) -> bool:
    """Tell whether a worker hardly uses the processor: a thousand who connect at once are another matter than a thousand who are slow."""
    before = cpu_s(worker)
    time.sleep(0.5)
    return cpu_s(worker) - before < 0.1


def p99_ms(node: Node, seconds: float = 1.5) -> float:
    """Return what others see, who ask 300 times a second over 8 connections."""
    command = [sys.executable, paced.__file__, str(port_of(node)), "/small", "300", str(seconds), "8"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    summary: dict[str, Any] = json.loads(printed.partition("SUMMARY ")[2])
    assert summary["status"] == 0, summary
    return float(summary["p99_us"]) / 1000


@pytest.mark.parametrize("kind", slow.BEGINNING)
def test_others_hardly_notice_a_thousand_slow_connections(node, kind):
    worker = node.workers()[0]
    before = memory_kib(worker)
    rounds: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        quiet = p99_ms(node)
        attack = subprocess.Popen([sys.executable, slow.__file__, str(port_of(node)), kind, str(SLOW), "60"], stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: connections(node) >= SLOW and calm(worker), "the attackers are connected, and slow from now on")
            rounds.append((quiet, p99_ms(node)))
            grown, unread = memory_kib(worker) - before, unread_octets(node)
        finally:
            attack.kill()
            attack.wait(10)
        eventually(lambda: connections(node) == 0, "the attackers have gone")
        if rounds[-1][1] < 2 * quiet:
            break
    print(f"{kind}: p99 quiet and attacked, ms: {[(round(a, 1), round(b, 1)) for a, b in rounds]}")
    print(f"worker grew {grown} KiB, the kernel holds {unread // 1024} KiB")
    assert min(attacked / quiet for quiet, attacked in rounds) < 2
    assert grown < SLOW * MOST_KIB_EACH
    assert unread < SLOW * 2 * UNSENT_OCTETS, "what nobody reads is not taken from backends"


@pytest.mark.parametrize(("kind", "deadline_s"), [("heads", HEAD_S), ("bodies", TOTAL_S), ("reads", BODY_IDLE_S)])
def test_slow_connections_end_at_their_deadline_though_an_octet_comes_every_second(hasty, kind, deadline_s):
    node = hasty
    with ExitStack() as stack:
        clients = [stack.enter_context(slow.connect(port_of(node), kind)) for _ in range(SLOW)]
        began = time.monotonic()
        eventually(lambda: connections(node) > SLOW * 0.9, "all are connected")
        wait_for_the_end(node, kind, clients, began + deadline_s + LATE_S)
        print(f"{kind}: all closed after {time.monotonic() - began:.1f} s")
    assert node.get("/small").status == 200


def wait_for_the_end(node: Node, kind: str, clients: list[socket.socket], limit: float) -> None:
    """Go on sending or taking an octet a second for each of them until the gateway has closed all."""
    while left := connections(node):
        assert time.monotonic() < limit, f"{left} connections live on"
        for client in clients:
            try:
                if kind == "reads":
                    client.recv(1)
                else:
                    client.send(b"x")
            except OSError:  # nothing to read at the moment, or closed by the gateway
                pass
        time.sleep(1)


def test_ten_thousand_idle_connections_fit_in_250_mb_and_stay_usable(hasty):
    node = hasty
    worker = node.workers()[0]
    before = memory_kib(worker)
    with ExitStack() as stack:
        clients = []
        for _ in range(IDLE):
            client = Connection(("127.0.0.1", port_of(node)))
            stack.callback(client.close)
            assert client.ask("/small")[0] == 200
            clients.append(client)
        eventually(lambda: connections(node) == IDLE, "all are open")
        rss = memory_kib(worker)
        print(f"{IDLE} idle connections: worker {rss // 1024} MiB, {(rss - before) / IDLE:.1f} KiB each")
        assert rss * 1024 < 250e6
        assert [client.ask("/small")[0] for client in clients[::100]] == [200] * (IDLE // 100)
    eventually(lambda: connections(node) == 0, "they are closed")
