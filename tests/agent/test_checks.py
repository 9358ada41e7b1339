"""Active health checks against real sockets."""

import logging
import os
import resource
import socket
import ssl
import time
from contextlib import contextmanager

import gevent
import gevent.socket
import gevent.ssl
import pytest
import trustme
from gevent.queue import Queue

from gateway.agent.checks import Checker
from gateway.agent.probe import Probe, Unjudged
from gateway.model.pool import ActiveCheck, Pool, UpstreamTls
from tests.agent.backends import OK, Backend, hang, reset, status

FAST = {"interval_s": 0.02, "timeout_s": 0.5}


@pytest.fixture
def backend():
    backends = []

    def start(*args, **kwargs):
        backends.append(Backend(*args, **kwargs))
        return backends[-1]

    yield start
    for each in backends:
        each.stop()


@pytest.fixture
def checker():
    made = Reporting()
    yield made
    made.close()


class Reporting(Checker):
    """A checker whose reports can be waited for."""

    def __init__(self):
        self.reports = Queue()
        super().__init__(lambda *report: self.reports.put(report), seed=1)

    def next(self):
        """Return the next (address, healthy, reason)."""
        return self.reports.get(timeout=10)[1:]

    def watch(self, *members, tls=None, **check):
        self.configure({"users": pool(*members, tls=tls, **check)})

    def of(self, address):
        return self.snapshot()["users"][address]


def pool(*members, name="users", tls=None, **check):
    spec = [{"address": m} if isinstance(m, str) else {"address": m[0], **m[1]} for m in members]
    return Pool(name=name, members=spec, health={"active": {**FAST, **check}}, tls=tls)


def probe(address, tls=None, **check):
    return Probe(address, ActiveCheck(**{**FAST, **check}), tls).run()


def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


def wait_for(condition):
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.005)


def test_a_member_that_flips_is_reported_after_the_thresholds_and_once(backend, checker):
    server = backend()
    checker.watch(server.address, healthy_after=2, unhealthy_after=3)
    assert checker.next() == (server.address, True, "status 200")
    assert server.connections == 2
    server.answer = status(503)
    answered = server.connections
    assert checker.next() == (server.address, False, "status 503")
    assert server.connections == answered + 3
    wait_for(lambda: server.connections > answered + 6)
    server.answer = OK
    assert checker.next() == (server.address, True, "status 200")
    assert checker.reports.empty()


def test_one_bad_probe_says_nothing(backend, checker):
    server = backend()
    checker.watch(server.address, unhealthy_after=3)
    assert checker.next()[1]
    for _ in range(3):
        server.answer = status(500)
        wait_for(lambda: checker.of(server.address)["bad_in_a_row"] == 1)
        server.answer = OK
        wait_for(lambda: checker.of(server.address)["good_in_a_row"] >= 2)
    assert checker.reports.empty()


def test_members_are_judged_from_creation_without_any_traffic(backend, checker):
    server, nobody = backend(), closed_port()
    checker.watch(server.address, nobody, interval_s=0.01, healthy_after=1, unhealthy_after=1)
    assert {checker.next()[:2], checker.next()[:2]} == {(server.address, True), (nobody, False)}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (hang, "no answer in 0.1 s"),
        (reset, "Connection reset by peer"),
        (lambda sock: sock.recv(65536), "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP: "),
        (os.urandom(500) + b"\r\n\r\n", "not HTTP: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "not HTTP: "),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "not HTTP: "),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed without an answer"),
        (status(404), "status 404"),
    ],
    ids=["hangs", "resets", "closes", "another protocol", "noise", "two lengths", "endless head", "half a head", "status"],
)
def test_a_probe_says_what_is_wrong(backend, answer, reason):
    healthy, said = probe(backend(answer).address, timeout_s=0.1)
    assert not healthy
    assert said.startswith(reason)


def test_a_backend_that_drips_its_head_is_not_waited_for(backend):
    def drip(sock):
        for octet in OK:
            sock.sendall(bytes([octet]))
            gevent.sleep(0.05)

    began = time.monotonic()
    assert probe(backend(drip).address, timeout_s=0.15) == (False, "no answer in 0.15 s")
    assert time.monotonic() - began < 2


def test_nobody_listening_is_down():
    assert probe(closed_port()) == (False, "Connection refused")
    assert probe("unix:/nonexistent/socket") == (False, "No such file or directory")


def test_an_unlimited_body_is_not_read(backend):
    def endless(sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"x" * 65536)

    assert probe(backend(endless).address) == (True, "status 200")


def test_informational_answers_are_passed_over(backend):
    assert probe(backend(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK).address) == (True, "status 200")


@pytest.mark.parametrize(
    ("code", "statuses", "healthy"),
    [(301, ["200-399"], True), (404, ["200-399"], False), (404, [404, "200-204"], True), (205, [404, "200-204"], False)],
)
def test_statuses_count_as_configured(backend, code, statuses, healthy):
    assert probe(backend(status(code)).address, statuses=statuses) == (healthy, f"status {code}")


def test_a_probe_asks_for_the_path_with_the_host(backend):
    server = backend()
    probe(server.address, path="/health?deep=1")
    probe(server.address, host="internal.example")
    plain, named = (request.decode().split("\r\n") for request in server.requests)
    assert plain[0] == "GET /health?deep=1 HTTP/1.1"
    assert f"Host: {server.address}" in plain
    assert "Connection: close" not in plain
    assert "Host: internal.example" in named


def test_a_tcp_check_only_connects(backend):
    server = backend(hang)
    assert probe(server.address, type="tcp") == (True, "connected")
    assert probe(closed_port(), type="tcp") == (False, "Connection refused")


def test_members_on_unix_sockets_are_probed(backend, tmp_path):
    listener = gevent.socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "backend.sock"))
    listener.listen()
    server = backend(listener=listener)
    assert probe(f"unix:{tmp_path}/backend.sock") == (True, "status 200")
    assert b"Host: localhost\r\n" in server.requests[0]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


class TestTls:
    @pytest.fixture
    def server(self, backend, authority):
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("backend.example").configure_cert(context)
        return backend(ssl_context=context)

    def test_a_tls_pool_is_probed_over_tls(self, server, authority):
        tls = UpstreamTls(ca=authority.cert_pem.bytes().decode(), server_name="backend.example")
        assert probe(server.address, tls) == (True, "status 200")
        assert probe(server.address, tls, type="tcp") == (True, "connected")

    @pytest.mark.parametrize("name", ["other.example", None])
    def test_a_certificate_for_another_name_is_down(self, server, authority, name):
        healthy, reason = probe(server.address, UpstreamTls(ca=authority.cert_pem.bytes().decode(), server_name=name))
        assert not healthy
        assert reason.startswith("TLS: ")
        assert "mismatch" in reason

    def test_a_certificate_of_a_stranger_is_down_unless_not_verified(self, server):
        healthy, reason = probe(server.address, UpstreamTls(server_name="backend.example"))
        assert (healthy, reason) == (False, "TLS: unable to get local issuer certificate")
        assert probe(server.address, UpstreamTls(verify=False)) == (True, "status 200")

    def test_a_plain_backend_behind_a_tls_pool_is_down(self, backend):
        healthy, reason = probe(backend().address, UpstreamTls(verify=False))
        assert not healthy
        assert reason.startswith("TLS: ")

    def test_keys_that_cannot_be_used_make_members_down_with_the_reason(self, server, checker):
        checker.watch(server.address, tls={"ca": "nonsense"}, unhealthy_after=1)
        address, healthy, reason = checker.next()
        assert (address, healthy) == (server.address, False)
        assert reason.startswith("TLS settings cannot be used")


def test_state_survives_every_edit_of_the_pool(backend, checker):
    first, second = backend(status(500)), backend()
    checker.watch(first.address, unhealthy_after=2)
    assert checker.next()[:2] == (first.address, False)
    timeline = checker.of(first.address)["timeline"]
    checker.watch((first.address, {"weight": 9, "state": "drain"}), second.address, unhealthy_after=5, interval_s=0.03, path="/other")
    assert checker.next()[:2] == (second.address, True)
    kept = checker.of(first.address)
    assert (kept["state"], kept["timeline"]) == ("down", timeline)
    assert kept["bad_in_a_row"] >= 2
    assert checker.reports.empty(), "nothing has changed, so nobody is told"


def test_thresholds_change_in_place(backend, checker):
    server = backend(status(500))
    checker.watch(server.address, unhealthy_after=100)
    wait_for(lambda: checker.of(server.address)["bad_in_a_row"] >= 3)
    checker.watch(server.address, unhealthy_after=4)
    assert checker.next()[:2] == (server.address, False)
    assert 4 <= checker.of(server.address)["bad_in_a_row"] < 20


def test_a_shorter_interval_holds_at_once(backend, checker):
    server = backend()
    checker.watch(server.address, interval_s=3600, healthy_after=2)
    wait_for(lambda: server.connections == 1)
    checker.watch(server.address, interval_s=0.01, healthy_after=2)
    assert checker.next()[:2] == (server.address, True)


def test_members_and_pools_that_leave_are_not_probed_any_more(backend, checker):
    kept, gone = backend(), backend(hang)
    checker.watch(kept.address, gone.address, healthy_after=1)
    assert checker.next()[:2] == (kept.address, True)
    wait_for(lambda: gone.connections == 1)
    checker.watch(kept.address, healthy_after=1)
    seen = kept.connections
    wait_for(lambda: kept.connections > seen + 5)
    assert gone.connections == 1
    assert list(checker.snapshot()["users"]) == [kept.address]
    checker.configure({"users": Pool(name="users", members=[{"address": kept.address}])})
    assert checker.snapshot() == {}
    assert checker.verdicts() == {}


def test_maintenance_pauses_probes_and_keeps_the_state(backend, checker):
    server, other = backend(), backend()
    checker.watch(server.address, other.address, healthy_after=1)
    assert {checker.next()[0], checker.next()[0]} == {server.address, other.address}
    checker.watch((server.address, {"state": "maintenance"}), other.address, healthy_after=1)
    gevent.sleep(0)
    seen, others = server.connections, other.connections
    wait_for(lambda: other.connections > others + 4)
    assert server.connections <= seen + 1
    assert (checker.of(server.address)["state"], checker.of(server.address)["healthy"]) == ("paused", True)
    seen = server.connections
    checker.watch(server.address, other.address, healthy_after=1)
    wait_for(lambda: server.connections > seen)
    assert checker.of(server.address)["state"] == "up"
    assert checker.reports.empty()


def test_the_same_address_is_judged_by_each_pool_for_itself(backend, checker):
    server = backend(status(404))
    checker.configure(
        {
            "strict": pool(server.address, name="strict", unhealthy_after=1),
            "lax": pool(server.address, name="lax", statuses=["100-599"], healthy_after=1),
        }
    )
    found = {checker.reports.get(timeout=10)[:3] for _ in range(2)}
    assert found == {("strict", server.address, False), ("lax", server.address, True)}
    verdicts = checker.verdicts()
    assert verdicts["strict"][server.address] == {"healthy": False, "reason": "status 404"}
    assert verdicts["lax"][server.address] == {"healthy": True, "reason": "status 404"}


def test_the_snapshot_tells_the_story(backend, checker):
    server = backend()
    before = time.time()
    checker.watch(server.address, healthy_after=1, unhealthy_after=1)
    assert checker.of(server.address)["state"] == "new"
    assert checker.verdicts() == {}
    checker.next()
    server.answer = reset
    checker.next()
    told = checker.of(server.address)
    assert before <= told["last_probe"] <= time.time()
    assert 0 < told["latency_ms"] < 500
    assert (told["state"], told["healthy"], told["reason"]) == ("down", False, "Connection reset by peer")
    assert [(e["state"], e["reason"]) for e in told["timeline"]] == [
        ("new", "first seen"),
        ("up", "status 200"),
        ("down", "Connection reset by peer"),
    ]


def test_a_verdict_keeps_the_reason_it_was_given_for(backend, checker):
    server = backend()
    checker.watch(server.address, healthy_after=1, unhealthy_after=100)
    assert checker.next()[1]
    server.answer = status(503)
    wait_for(lambda: checker.of(server.address)["reason"] == "status 503")
    assert checker.verdicts() == {"users": {server.address: {"healthy": True, "reason": "status 200"}}}


def test_a_hanging_member_does_not_hold_up_the_others(backend, checker):
    stuck, well = backend(hang), backend()
    checker.watch(stuck.address, well.address, timeout_s=30, healthy_after=10)
    assert checker.next() == (well.address, True, "status 200")


@contextmanager
def no_descriptors_left():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_want_of_descriptors_here_says_nothing_about_the_member(backend, checker, caplog):
    server = backend()
    checker.watch(server.address, healthy_after=1, unhealthy_after=1)
    assert checker.next()[1]
    with no_descriptors_left():
        wait_for(lambda: checker.of(server.address)["reason"] == "not judged: Too many open files")
        assert checker.of(server.address)["state"] == "up"
    wait_for(lambda: checker.of(server.address)["reason"] == "status 200")
    assert "says nothing" in caplog.text
    assert checker.reports.empty()


def test_a_process_that_was_held_up_does_not_blame_the_member(backend):
    server = backend(hang)
    probing = gevent.spawn(probe, server.address, timeout_s=0.05)
    wait_for(lambda: server.connections == 1)
    time.sleep(0.8)  # the whole process stands still
    with pytest.raises(Unjudged):
        probing.get(timeout=5)


def test_a_report_that_fails_stops_no_check(backend, caplog):
    server = backend()
    told = Queue()

    def report(*verdict):
        told.put(verdict)
        raise ConnectionError("no worker")

    checker = Checker(report)
    try:
        checker.configure({"users": pool(server.address, healthy_after=1, unhealthy_after=1)})
        assert told.get(timeout=5)[2]
        server.answer = reset
        assert not told.get(timeout=5)[2]
    finally:
        checker.close()
    assert "could not be reported" in caplog.text


def test_probes_are_spread_over_the_interval(backend, checker):
    moments = []

    def note(sock):
        moments.append(time.monotonic())
        sock.sendall(OK)

    began = time.monotonic()
    checker.watch(*[backend(note).address for _ in range(60)], interval_s=0.6)
    wait_for(lambda: len(moments) >= 60)
    quarters = [sum(1 for moment in moments[:60] if quarter * 0.15 <= moment - began < (quarter + 1) * 0.15) for quarter in range(4)]
    assert max(quarters) < 40, "they do not all come together"


def test_no_more_than_so_many_probes_run_at_once(backend):
    running, most = set(), []

    def hold(sock):
        running.add(sock)
        most.append(len(running))
        sock.recv(65536)
        gevent.sleep(0.01)
        sock.sendall(OK)
        sock.recv(1)
        running.discard(sock)

    told = Queue()
    checker = Checker(lambda *report: told.put(report), at_once=3)
    try:
        checker.configure({"users": pool(*[backend(hold).address for _ in range(12)], healthy_after=1, interval_s=0.01)})
        assert all(told.get(timeout=10)[2] for _ in range(12))
    finally:
        checker.close()
    assert max(most) in (3, 4), "the backend may learn a moment later that a probe has ended"


KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def serve_all(answer=KEPT, most=1000):
    """Answer requests on one connection until there are enough."""

    def serve(sock):
        for _ in range(most):
            if not sock.recv(65536):
                return
            sock.sendall(answer)

    return serve


def test_a_connection_serves_ten_probes_where_the_member_allows_it(backend):
    server = backend(serve_all())
    probed = Probe(server.address, ActiveCheck(**FAST), None)
    assert {probed.run() for _ in range(25)} == {(True, "status 200")}
    assert server.connections == 3
    probed.close()
    assert probed.run()[0]
    assert server.connections == 4
    probed.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000,
        KEPT + b"surplus",
    ],
    ids=["until close", "1.0", "long", "surplus"],
)
def test_a_connection_is_not_kept_after_an_answer_like_this(backend, answer):
    server = backend(serve_all(answer))
    probed = Probe(server.address, ActiveCheck(**FAST), None)
    assert [probed.run() for _ in range(3)] == [(True, "status 200")] * 3
    assert server.connections == 3


def test_content_that_comes_late_or_never_changes_no_verdict(backend):
    probed = Probe(backend(serve_all(KEPT[:-1])).address, ActiveCheck(interval_s=1, timeout_s=0.1), None)
    assert probed.run() == (True, "status 200")
    assert probed.kept is None


def test_a_member_that_closes_a_kept_connection_is_asked_again(backend):
    """Before the probe is sent, or in answer to it."""
    server = backend(serve_all(most=1))
    probed = Probe(server.address, ActiveCheck(**FAST), None)
    for _ in range(3):
        assert probed.run() == (True, "status 200")
        wait_for(lambda: probed.kept.wire.pending)

    def second_is_reset(sock):
        serve_all(most=1)(sock)
        sock.recv(65536)
        reset(sock)

    server.answer = second_is_reset
    assert [probed.run() for _ in range(4)] == [(True, "status 200")] * 4
    probed.close()


def test_a_member_that_takes_no_new_connections_is_noticed(backend, checker):
    server = backend(serve_all())
    checker.watch(server.address, healthy_after=1, unhealthy_after=3)
    assert checker.next()[1]
    server.refuse()
    assert checker.next() == (server.address, False, "Connection refused")


def test_connections_are_not_kept_for_members_that_left_or_rest(backend):
    ended = Queue()

    def serve(sock):
        serve_all()(sock)
        ended.put(sock)

    servers = [backend(serve) for _ in range(3)]
    addresses = [server.address for server in servers]
    checker = Reporting()
    checker.watch(*addresses, healthy_after=1, interval_s=30)
    assert all(checker.next()[1] for _ in servers)
    checker.watch((addresses[0], {"state": "maintenance"}), addresses[1], healthy_after=1, interval_s=30)
    assert [bool(ended.get(timeout=5)) for _ in range(2)] == [True, True]
    assert ended.empty()
    checker.close()
    assert ended.get(timeout=5)


def test_changes_are_logged(backend, checker, caplog):
    server = backend()
    with caplog.at_level(logging.INFO, "gateway.checks"):
        checker.watch(server.address, healthy_after=1)
        checker.next()
    assert f"{server.address} in pool users is up: status 200" in caplog.text
