"""Pools of a running gateway: real members that die, come back, drain and fill up under traffic."""

import http.client
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.testing import Answer

pytestmark = pytest.mark.timeout(120)


def pool(*members, **fields):
    spec = [{"address": m} if isinstance(m, str) else {"address": m[0], **m[1]} for m in members]
    return {"name": "users", "members": spec, **fields}


def serve(run_gateway, *members, workers=1, **fields):
    return run_gateway(workers=workers, pools=[pool(*members, **fields)], routes=[{"name": "all", "pool": "users"}])


def wait_for(condition, timeout_s=20):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Traffic:
    """Clients that send requests until told to stop, and count the answers."""

    def __init__(self, gateway, clients=4):
        self.statuses = Counter()
        self._gateway = gateway
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self):
        while not self._stop.is_set():
            try:
                self.statuses[self._gateway.get("/users").status] += 1
            except Exception as error:
                self.statuses[repr(error)] += 1

    def more(self, count):
        """Wait for so many more answers."""
        goal = self.statuses.total() + count
        wait_for(lambda: self.statuses.total() >= goal)


def test_members_get_their_share(run_gateway, start_echo):
    heavy, light = start_echo(), start_echo()
    gateway = serve(run_gateway, (heavy.address, {"weight": 3}), light.address)
    assert {gateway.get("/").status for _ in range(40)} == {200}
    assert (len(heavy.requests), len(light.requests)) == (30, 10)


def test_a_member_that_dies_under_load_fails_no_request_that_may_be_repeated(run_gateway, start_echo):
    dying, living = start_echo(), start_echo()
    passive = {"consecutive_failures": 3, "ejection_s": 60}
    gateway = serve(run_gateway, dying.address, living.address, health={"passive": passive})
    with Traffic(gateway) as traffic:
        traffic.more(50)
        dying.close()
        traffic.more(200)
        served = len(living.requests)
        traffic.more(50)
    assert set(traffic.statuses) == {200}
    assert len(living.requests) >= served + 50, "the dead one is not asked any more"


def test_checks_take_a_member_out_and_back(run_gateway, start_echo):
    flipping, steady = start_echo(), start_echo()
    healthy = threading.Event()
    healthy.set()

    def answer(request):
        if request.path == "/health":
            return Answer(200 if healthy.is_set() else 503)
        return Answer(200 if healthy.is_set() else 500)

    flipping.answer = answer
    active = {"path": "/health", "interval_s": 0.05, "healthy_after": 1, "unhealthy_after": 2}
    gateway = serve(run_gateway, flipping.address, steady.address, health={"active": active})

    def asked(count=12):
        before = len([r for r in flipping.requests if r.path == "/users"])
        statuses = {gateway.get("/users").status for _ in range(count)}
        return len([r for r in flipping.requests if r.path == "/users"]) - before, statuses

    assert asked() == (6, {200})
    healthy.clear()
    wait_for(lambda: asked(4)[0] == 0)
    assert asked() == (0, {200})
    healthy.set()
    wait_for(lambda: asked(4)[0] > 0)
    assert asked() == (6, {200})


def test_drain_under_load_loses_nothing(run_gateway, start_echo):
    leaving, staying = start_echo(), start_echo()
    leaving.answer = lambda request: time.sleep(0.02) or Answer(200, content=b"slow")
    gateway = serve(run_gateway, leaving.address, staying.address)
    with Traffic(gateway) as traffic:
        traffic.more(40)
        gateway.change(pools=[pool((leaving.address, {"state": "drain"}), staying.address)])
        asked = len(leaving.requests)
        traffic.more(60)
        assert len(leaving.requests) <= asked + 4, "only what was on its way"
        gateway.change(pools=[pool(staying.address)])
        traffic.more(40)
        gateway.change(pools=[pool(leaving.address, staying.address)])
        traffic.more(40)
    assert set(traffic.statuses) == {200}
    assert len(leaving.requests) > asked + 4


def test_an_ejection_holds_in_every_worker(run_gateway, start_echo):
    bad, good = start_echo(), start_echo()
    bad.answer = lambda request: Answer(502)
    passive = {"consecutive_failures": 10, "ejection_s": 60}
    gateway = serve(run_gateway, bad.address, good.address, workers=2, health={"passive": passive})
    wait_for(lambda: all(worker["connected"] for worker in gateway.manage("/status").json()["workers"]))
    client = http.client.HTTPConnection(gateway.address, timeout=20)  # one connection, so one worker

    def told():
        client.request("GET", "/")
        client.getresponse().read()
        pools = gateway.manage("/status").json()["pools"]
        return next((member["ejected_because"] for member in pools["users"]["members"] if member["ejected_for_s"]), "")

    wait_for(told)
    assert told() == "10 failures in a row, the last: status_502"
    client.close()
    assert len(bad.requests) == 10
    assert {gateway.get("/").status for _ in range(30)} == {200}
    assert len(bad.requests) == 10


def test_exchanges_wait_in_line_for_a_full_member_and_no_longer_than_allowed(run_gateway, start_echo):
    backend = start_echo()
    release, running, most = threading.Event(), [], []

    def answer(request):
        running.append(request)
        most.append(len(running))
        release.wait(20)
        running.remove(request)
        return Answer(200)

    backend.answer = answer
    gateway = serve(run_gateway, backend.address, limits={"max_in_flight": 2, "max_queue": 3, "queue_s": 20})
    with ThreadPoolExecutor(10) as clients:
        replies = [clients.submit(gateway.get, "/") for _ in range(10)]
        wait_for(lambda: sum(reply.done() for reply in replies) == 5)
        release.set()
        statuses = Counter(reply.result(20).status for reply in replies)
    assert statuses == {200: 5, 503: 5}
    assert max(most) == 2
    refused = next(reply.result() for reply in replies if reply.result().status == 503)
    assert refused.json()["code"] == "pool_full"


def test_nobody_left_is_a_503_with_a_code(run_gateway, start_echo):
    gateway = serve(run_gateway, (start_echo().address, {"state": "maintenance"}))
    reply = gateway.get("/")
    assert (reply.status, reply.json()["code"]) == (503, "no_member")
