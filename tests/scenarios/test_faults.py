"""Clients lose nothing while the gateway is reconfigured, reloaded, drained, and while parts of it and behind it are killed.

What counts as lost is said in ``tests.scenarios.load``. Every scenario has a gentle load of a few clients and ends by showing that what
was done really took effect.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.backend import Backend
from tests.scenarios.load import Connection, Good, Load
from tests.scenarios.node import Node, eventually, gone


@pytest.fixture(scope="module")
def backends() -> Iterator[tuple[Backend, Backend]]:
    both = Backend("one"), Backend("two")
    yield both
    for backend in both:
        backend.kill()


def pool(*members: dict[str, Any] | Backend) -> dict[str, Any]:
    return {
        "name": "backends",
        "members": [{"address": member.address} if isinstance(member, Backend) else member for member in members],
        "health": {"passive": {"consecutive_failures": 2, "ejection_s": 1}},
        "timeouts": {"connect_s": 2},
    }


def start(folder: Path, backends: tuple[Backend, Backend], **options: Any) -> Node:
    return Node(folder, {"pools": [pool(*backends)], "routes": [{"name": "all", "pool": "backends"}]}, workers=2, **options)


@pytest.fixture(scope="module")
def running(backends, tmp_path_factory) -> Iterator[Node]:
    node = start(tmp_path_factory.mktemp("faults"), backends)
    yield node
    assert node.stop() == 0


@pytest.fixture
def node(running, backends) -> Node:
    """The gateway of the module, with the configuration that it began with."""
    running.write(**start_configuration(backends))
    running.applied(lambda: not running.status()["refused"] and running.get("/").status == 200, "back to the beginning")
    return running


def start_configuration(backends) -> dict[str, Any]:
    return {"pools": [pool(*backends)], "routes": [{"name": "all", "pool": "backends"}], "policies": []}


def echoes(good: Good) -> str:
    """An answer must be the one to the request that was sent on the connection."""
    return "" if good.content.split()[1] == good.target.encode() else f"{good.content!r} for {good.target}"


def distinct(number: int) -> str:
    return f"/{number}"


def slowly(number: int) -> str:
    return f"/slow/0.0{number % 3 + 1}"


def test_a_new_configuration_every_100_ms_loses_nothing_and_never_takes_a_step_back(node, backends):
    seen: dict[int, int] = {}

    def judge(good: Good) -> str:
        revision = int(good.head.partition(b"X-Revision: ")[2].split(b"\r\n")[0] or 0)
        before, seen[good.port] = seen.get(good.port, 0), revision
        return echoes(good) or (f"revision {revision} after {before}" if revision < before else "")

    applied = node.status()["revision"]
    with Load(node.address, distinct, good=judge) as load:
        for revision in range(1, 36):
            extra = [
                {"name": f"extra-{n}", "match": {"paths": [f"/extra-{n}"]}, "pool": "backends"} for n in range(revision % 4, revision % 7)
            ]
            members = [{"address": backends[0].address, "weight": revision % 3 + 1}, {"address": backends[1].address, "weight": 2}]
            policy = {"plugin": "headers", "config": {"response": {"set": {"X-Revision": str(revision)}}}}
            node.write(routes=[{"name": "all", "pool": "backends"}, *extra], pools=[pool(*members)], policies=[policy])
            time.sleep(0.1)  # the interval is what this is about
        status = node.applied(lambda: node.get("/").headers.get("X-Revision") == "35", "the last configuration is in force")
        load.more(20)
    load.report("configurations")
    assert load.failed == []
    assert load.again == []
    assert status["revision"] - applied >= 5, "several of them were in force"
    assert max(seen.values()) == 35


def test_reloads_replace_the_workers_and_lose_nothing(node):
    before = node.workers()
    with Load(node.address, slowly, good=echoes) as load:
        for _ in range(2):
            assert "new workers serve" in node.reload()
            load.more(20)
    load.report("reloads")
    assert load.failed == []
    after = node.workers()
    assert sorted(after) == [0, 1] and not set(after.values()) & set(before.values())
    eventually(lambda: all(map(gone, before.values())), "the old workers have left")


def test_a_member_is_drained_then_removed_without_a_loss(node, backends):
    one, two = backends
    by: list[bytes] = []

    def judge(good: Good) -> str:
        by.append(good.content.split()[0])
        return echoes(good)

    def member(index: int) -> dict[str, Any]:
        return node.status()["pools"]["backends"]["members"][index]

    with Load(node.address, slowly, good=judge) as load:
        load.more(40)
        assert set(by) == {b"one", b"two"}
        node.write(pools=[pool({"address": one.address, "state": "drain"}, two)])
        node.applied(lambda: member(0)["state"] == "drain", "the member is draining")
        eventually(lambda: member(0)["in_flight"] == 0, "nothing runs on it any more")
        by.clear()
        load.more(60)
        assert set(by) == {b"two"}
        node.write(pools=[pool(two)])
        node.applied(lambda: len(node.status()["pools"]["backends"]["members"]) == 1, "the member is gone")
        load.more(20)
        node.write(pools=[pool(one, two)])
        node.applied(lambda: len(node.status()["pools"]["backends"]["members"]) == 2, "the member is back")
        load.more(40)
        assert set(by) == {b"one", b"two"}
    load.report("drain and removal")
    assert load.failed == [] and load.again == []


def test_a_backend_that_is_killed_and_comes_back_costs_no_idempotent_request(node, backends):
    victim = Backend("victim")
    node.write(pools=[pool(victim, backends[1])])
    node.applied(lambda: node.status()["pools"]["backends"]["members"][0]["address"] == victim.address, "the victim is a member")
    by: list[bytes] = []

    def judge(good: Good) -> str:
        by.append(good.content.split()[0])
        return echoes(good)

    with Load(node.address, slowly, good=judge) as load:
        load.more(40)
        assert b"victim" in by
        victim.kill()
        by.clear()
        load.more(150)
        assert b"two" in by
        again = Backend("again", victim.port)
        eventually(lambda: b"again" in by, "the backend takes part again")
    again.kill()
    load.report("backend killed")
    assert load.failed == [] and load.again == []


@contextmanager
def split(node: Node, workers: dict[int, int]) -> Iterator[list[Load]]:
    """Run a load for each worker: the others are held still while its clients connect."""
    with ExitStack() as stack:
        loads = []
        for mine in workers.values():
            held = [pid for pid in workers.values() if pid != mine]
            for pid in held:
                os.kill(pid, signal.SIGSTOP)
            try:
                loads.append(stack.enter_context(Load(node.address, slowly, good=echoes)))
                loads[-1].more(20)
            finally:
                for pid in held:
                    os.kill(pid, signal.SIGCONT)
        yield loads


def test_a_killed_worker_fails_nothing_but_what_was_on_its_own_connections(node):
    """Judged by ports: what went wrong happened on connections that the kernel showed to belong to the worker before it was killed."""
    before = node.workers()
    with split(node, before) as (load, other):
        shares = {index: node.ports_of(pid) for index, pid in before.items()}
        assert [len(shares[index]) for index in before] == [4, 4]
        os.kill(before[0], signal.SIGKILL)
        load.more(60)
        other.more(60)
        after = eventually(lambda: len(found := node.workers()) == 2 and found, "the worker is replaced")
        load.more(20)
    load.report("worker killed, its clients")
    other.report("worker killed, the others")
    assert other.failed == [] and other.again == []
    assert {trouble.port for trouble in load.failed + load.again} <= shares[0]
    assert len(load.failed) + len(load.again) <= 4, "each of its connections ended once"
    assert load.failed == [], "nothing of an answer had been sent, so that clients may ask again"
    assert after[0] != before[0] and after[1] == before[1]


def test_a_killed_agent_is_not_noticed_by_clients_and_its_successor_brings_changes(node):
    killed = node.agent()
    with Load(node.address, distinct, good=echoes) as load:
        os.kill(killed, signal.SIGKILL)
        load.more(60)
        eventually(lambda: node.agent() not in (0, killed), "a new agent")
        eventually(lambda: all(worker["connected"] for worker in node.status()["workers"]), "the workers found it")
        node.write(policies=[{"plugin": "headers", "config": {"response": {"set": {"X-After": "all"}}}}])
        node.applied(lambda: node.get("/").headers.get("X-After") == "all", "a change comes through the new agent")
        load.more(20)
    load.report("agent killed")
    assert load.failed == [] and load.again == []


@pytest.mark.parametrize(
    ("octets", "path", "message"),
    [
        (b"version: 1\nroutes: [", "", "is not YAML"),
        (b"version: 1\nroutes: [{name: all, pool: nowhere}]", "routes[0].pool", "nowhere"),
        (b"", "", ""),
    ],
    ids=["not YAML", "a dangling name", "an empty file"],
)
def test_a_broken_configuration_changes_nothing_and_is_named(node, octets, path, message):
    before = node.status()
    with Load(node.address, distinct, good=echoes) as load:
        node.put(octets)
        refused = eventually(lambda: node.status()["refused"], "the agent says that it is refused")
        load.more(40)
        status = node.status()
        assert status["digest"] == before["digest"]
        assert all(worker["digest"] == before["digest"] for worker in status["workers"])
        node.write()
        eventually(lambda: node.status()["refused"] is None, "what is in force is what is in the file")
    load.report("broken configuration")
    assert load.failed == [] and load.again == []
    (problem,) = refused["problems"][:1]
    assert problem["path"] == path and message in str(problem)


def test_term_lets_exchanges_finish_and_fails_readiness_first(backends, tmp_path):
    node = start(tmp_path, backends, arguments=("--drain-delay", "1"))
    answers: list[Any] = []
    slow = threading.Thread(target=lambda: answers.append(Connection(("127.0.0.1", int(node.address.split(":")[1]))).ask("/slow/3")))
    with Load(node.address, slowly, good=echoes) as load:
        slow.start()
        load.more(40)
        node.signal(signal.SIGTERM)
        eventually(lambda: node.manage("/ready").status == 503, "readiness fails")
        assert node.get("/").status == 200, "requests are still taken, as balancers in front need a moment to notice"
        load.more(20)
        eventually(lambda: len(load.refused) == 4, "nobody listens any more")
    slow.join(10)
    load.report("TERM")
    assert load.failed == []
    assert answers and answers[0][0] == 200, "the long exchange was answered"
    assert node.process.wait(10) == 0
    node.stop()
