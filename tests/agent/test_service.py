"""The agent as a process: configuration to workers, their reports, the management address."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from gateway.control import store
from gateway.control.delta import apply
from tests.agent.nodes import FakeWorker, Node
from tests.server.running import alive, eventually


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.write()
    yield node
    node.close()


def test_compiles_the_file_stores_it_and_sends_workers_there(node: Node):
    node.start().up()
    node.revision(1)
    message = FakeWorker(node).expect("snapshot")
    assert message["revision"] == 1
    document = store.read(Path(message["path"]))
    assert document["digest"] == message["digest"]
    assert list(document["pools"]) == ["pool0"]
    assert node.state.snapshot.stat().st_mode & 0o077 == 0


def test_sends_a_delta_when_the_file_changes_and_nothing_when_it_does_not(node: Node):
    node.start().up()
    before = node.revision(1)
    document = store.read(node.state.snapshot)
    worker = FakeWorker(node, digest=before["digest"])
    node.write(pools=2)
    delta = worker.expect("delta")
    assert (delta["from"], delta["revision"], list(delta["set"]["pools"])) == (before["digest"], 2, ["pool1"])
    assert apply(document, delta)["digest"] == node.status()["digest"]
    node.config.write_bytes(node.config.read_bytes() + b"\n \n")
    node.config.touch()
    assert worker.quiet()
    assert node.status()["revision"] == 2


def test_notices_a_symbolic_link_that_points_elsewhere(node: Node, tmp_path: Path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    node.config.rename(first)
    node.write(pools=2)
    node.config.rename(second)
    node.config.symlink_to(first)
    node.start().up()
    node.revision(1)
    (tmp_path / "fresh").symlink_to(second)
    (tmp_path / "fresh").replace(node.config)
    node.revision(2)


def test_brings_a_worker_that_missed_changes_up_to_date_with_deltas(node: Node):
    node.start().up()
    digests = []
    for pools in (1, 2, 3):
        node.write(pools=pools)
        digests.append(node.revision(pools)["digest"])
    late = FakeWorker(node, digest=digests[0])
    assert [late.expect("delta")["revision"] for _ in range(2)] == [2, 3]
    lost = FakeWorker(node, worker=1, digest="something else")
    assert lost.expect("snapshot")["revision"] == 3
    assert FakeWorker(node, worker=2, digest=digests[2]).quiet()


def test_a_bad_file_is_reported_and_what_is_in_force_stays(node: Node):
    node.start().up()
    digest = node.revision(1)["digest"]
    worker = FakeWorker(node, digest=digest)
    node.write(routes=[{"name": "one", "pool": "no"}, {"name": "two", "pool": "nay"}])
    refused = eventually(lambda: node.status()["refused"], "refused")
    assert [problem["path"] for problem in refused["problems"]] == ["routes[0].pool", "routes[1].pool"]
    assert worker.quiet()
    metrics = node.get("/metrics").text
    assert "gateway_config_refused 1\n" in metrics and "gateway_config_refusals_total 1\n" in metrics
    node.write()
    eventually(lambda: node.status()["refused"] is None, "the file is what is in force again")
    assert node.status()["digest"] == digest
    assert "was refused, revision 1 stays in force" in node.log.read_text()


def test_a_missing_secret_file_that_appears_is_noticed(node: Node, tmp_path: Path):
    pool = {"name": "secure", "members": [{"address": "127.0.0.1:1"}], "tls": {"ca": f"$file:{tmp_path / 'ca.pem'}"}}
    node.write(pools=[pool])
    node.start().up()
    assert "ca.pem" in str(eventually(lambda: node.status()["refused"], "refused"))
    (tmp_path / "ca.pem").write_text("anything")
    eventually(lambda: "No such file" not in str(node.status()["refused"]), "looked at again")


def test_a_compiler_that_dies_costs_nothing_but_the_change(node: Node):
    node.start().up()
    node.revision(1)
    eventually(node.state.snapshot.exists, "it is on disk too")
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    compiler = next(int(child) for child in children if b"compiling" in Path(f"/proc/{child}/cmdline").read_bytes())
    os.kill(compiler, signal.SIGKILL)
    node.write(pools=2)
    eventually(lambda: "ended with -9" in str(node.status()["refused"]), "the death is reported")
    node.write(pools=3)
    assert node.revision(2)["refused"] is None


def test_goes_on_answering_while_a_large_file_is_compiled(node: Node):
    node.start().up()
    node.revision(1)
    node.write(routes=[{"name": f"r{number}", "pool": "pool0", "match": {"paths": [f"/{number}"]}} for number in range(20000)])
    longest = 0.0
    while node.status()["revision"] == 1:
        began = time.monotonic()
        assert node.get("/live").status_code == 200
        longest = max(longest, time.monotonic() - began)
    assert longest < 1.0


def test_passes_ejections_on_to_other_workers_and_to_those_that_come_later(node: Node):
    node.start().up()
    digest = node.revision(1)["digest"]
    first, second = FakeWorker(node, 0, digest), FakeWorker(node, 1, digest)
    node_knows_both(node, first, second)
    ejection = {"pool": "pool0", "address": "127.0.0.1:1", "until": time.monotonic() + 60, "reason": "5 failures"}
    first.send("ejected", **ejection)
    assert second.receive() == {"type": "ejected", **ejection}
    third = FakeWorker(node, 2, digest)
    assert third.receive() == {"type": "ejected", **ejection}
    assert first.quiet()
    second.send("recovered", pool="pool0", address="127.0.0.1:1")
    assert first.expect("recovered")["address"] == "127.0.0.1:1"
    assert FakeWorker(node, 3, digest).quiet()


def test_a_verdict_of_checks_outlives_the_agent(node: Node):
    check = {"type": "tcp", "interval_s": 0.05, "unhealthy_after": 2}
    node.write(pools=[{"name": "checked", "members": [{"address": "127.0.0.1:1"}], "health": {"active": check}}])
    node.start().up()
    worker = FakeWorker(node)
    verdict = worker.expect("health")["pools"]["checked"]["127.0.0.1:1"]
    assert verdict["healthy"] is False
    member = node.status()["pools"]["checked"]["members"][0]
    assert (member["healthy"], member["reason"]) == (False, verdict["reason"])
    assert 'gateway_member_healthy{pool="checked",member="127.0.0.1:1"} 0\n' in node.get("/metrics").text
    node.stop(signal.SIGKILL)
    check["interval_s"] = 3600.0
    node.write(pools=[{"name": "checked", "members": [{"address": "127.0.0.1:1"}], "health": {"active": check}}])
    node.start().up()
    assert FakeWorker(node).expect("health")["pools"]["checked"]["127.0.0.1:1"]["healthy"] is False


def test_leaves_workers_alone_that_are_leaving_or_belong_to_another_program(node: Node):
    node.start().up()
    node.revision(1)
    leaving = FakeWorker(node, 0, digest="old")
    assert leaving.expect("snapshot")
    leaving.sock.close()
    node.board.cells[0].draining = True
    again = FakeWorker(node, 1, digest="old")
    again.expect("snapshot")
    node.board.vacate(1)
    again.sock.close()
    for worker in (0, 1):
        stranger = FakeWorker(node, worker, digest="old", known=False)
        assert stranger.quiet()


def test_keeps_the_last_traces(node: Node):
    node.start().up()
    worker = FakeWorker(node)
    for number in range(205):
        worker.send("trace", id=f"t{number}", route="r", steps=[{"hook": "log"}])
    eventually(lambda: node.get("/traces/t204").status_code == 200, "the last one arrived")
    assert node.get("/traces/t204").json()["steps"] == [{"hook": "log"}]
    assert node.get("/traces/t4").status_code == 404
    traces = node.get("/traces").json()
    assert len(traces) == 200
    assert traces[0] == {"id": "t204", "route": "r", "type": "trace"}


def test_asks_workers_for_their_status(node: Node):
    node.start().up()
    digest = node.revision(1)["digest"]
    worker = FakeWorker(node, 0, digest)
    node_knows_both(node, worker)
    status = _status_while(node, worker, pools={"pool0": {"members": [{"address": "127.0.0.1:1", "in_flight": 3}]}})
    assert status["pools"]["pool0"]["members"][0]["in_flight"] == 3
    assert status["workers"][0]["connected"] is True
    worker.send("refused", revision=9, errors=["a plugin is missing"])
    worker.send("applied", revision=1, digest=digest, took_ms=2.0)
    worker.send("refused", revision=10, errors=["another"])
    refused = eventually(lambda: (now := node.status()["workers"][0]["refused"]) and now["revision"] == 10 and now, "the refusal")
    assert refused["errors"] == ["another"]


def test_is_ready_only_when_a_worker_is(node: Node):
    node.start().up()
    assert node.get("/live").json() == {"live": True}
    assert node.get("/ready").status_code == 503
    assert node.get("/ready").json()["reason"] == "there are no workers"
    cell = node.board.occupy(0, 0, 1000)
    assert node.get("/ready").json()["reason"] == "none of 1 workers is ready"
    cell.ready = True
    assert node.get("/ready").json()["reason"] == "no worker has a configuration"
    cell.revision = 1
    assert node.get("/ready").status_code == 200
    node.board.draining = True
    assert node.get("/ready").json() == {"ready": False, "reason": "the gateway is stopping"}


def test_answers_only_what_it_should(node: Node):
    import requests

    node.start().up()
    assert requests.post(node.url + "/status", timeout=5).status_code == 405
    assert node.get("/nothing").status_code == 404
    assert node.get("/status", headers={"Host": "attacker.example"}).status_code == 421
    assert node.get("/status", headers={"Host": "localhost:8002"}).status_code == 200
    assert requests.head(node.url + "/live", timeout=5).text == ""
    assert "/metrics" in node.get("/").text


def test_a_successor_takes_over_without_a_request_refused(node: Node):
    node.start().up()
    old = node.process
    worker = FakeWorker(node)
    node.start().up()
    old.terminate()
    assert old.wait(10) == 0
    assert worker.sock.recv(1 << 20) is not None
    assert node.state.socket.exists(), "the successor's socket is left alone"
    assert node.get("/live").status_code == 200
    assert FakeWorker(node).receive()["type"] == "snapshot"


def test_nonsense_on_the_socket_costs_nobody_else_anything(node: Node):
    node.start().up()
    node.revision(1)
    good, bad = FakeWorker(node, 0), FakeWorker(node, 1)
    good.expect("snapshot")
    bad.sock.sendall(b"\xff\xff\xff\xff")
    assert bad.expect("snapshot")
    assert bad.sock.recv(1) == b""
    for content in (b"[]", b"{", orjson.dumps({"type": 3})):
        other = FakeWorker(node, 2)
        other.expect("snapshot")
        other.sock.sendall(len(content).to_bytes(4, "big") + content)
        assert other.sock.recv(1) == b""
    good.send("trace", id="fine")
    eventually(lambda: node.get("/traces/fine").status_code == 200)


def test_ends_with_its_compiler_when_told(node: Node):
    node.start().up()
    children = [int(child) for child in Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()]
    assert node.stop() == 0
    assert children and not any(map(alive, children))
    assert not node.state.socket.exists()


def node_knows_both(node: Node, *workers: FakeWorker) -> None:
    """Wait until the agent has heard every hello: traces arrive after it."""
    for worker in workers:
        worker.send("trace", id=f"from-{worker.pid}")
        eventually(lambda worker=worker: node.get(f"/traces/from-{worker.pid}").status_code == 200)


def _status_while(node: Node, worker: FakeWorker, **fields: object) -> dict:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(node.status)
        worker.expect("report")
        worker.send("status", **fields)
        return asked.result()
