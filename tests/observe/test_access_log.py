"""The access log: whole lines of JSON, whatever is in them and whatever becomes of the file."""

import fcntl
import json
import os
import random
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from gateway.http.headers import Headers
from gateway.http.message import Request, Response
from gateway.model.consumer import Consumer
from gateway.model.exchange import Exchange
from gateway.model.observe import LOG_FIELDS, AccessLogSettings
from gateway.model.pool import Member
from gateway.model.route import Route
from gateway.model.snapshot import Snapshot
from gateway.observe.access_log import AccessLog


def finished(path: str = "/users/7", **fields: object) -> Exchange:
    """Return an exchange that took 12.5 ms, 10 of them at the backend."""
    exchange = Exchange(Request("GET", path, host="api.example.com", query="a=1"), "192.0.2.1", time.monotonic())
    exchange.id = "0af7651916cd43dd8448eb211c80319c"
    exchange.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    exchange.listener, exchange.pool = "web", "users"
    exchange.route = Route(name="users-route")
    exchange.member = Member(address="127.0.0.1:9001")
    exchange.attempts = ["127.0.0.1:9001"]
    exchange.consumer, exchange.credential = Consumer("alice"), "laptop"
    exchange.snapshot = Snapshot(revision=42)
    exchange.response = Response(201)
    exchange.bytes_in, exchange.bytes_out = 3, 44
    exchange.upstream_started = exchange.started + 0.0015
    exchange.upstream_first_byte = exchange.started + 0.0115
    exchange.finished = exchange.started + 0.0125
    for name, value in fields.items():
        setattr(exchange, name, value)
    return exchange


def logged(path, exchange: Exchange, *names: str) -> dict[str, object]:
    log = AccessLog(AccessLogSettings(path=str(path), **({"fields": names} if names else {})))
    log.write(exchange)
    log.flush()
    return json.loads(path.read_text())


def test_a_line_has_the_default_fields_in_order(tmp_path):
    line = logged(tmp_path / "log", finished())
    when = datetime.fromisoformat(line.pop("time"))
    assert abs((when - datetime.now(UTC)).total_seconds()) < 2
    took = line.pop("total_us"), line.pop("upstream_us")
    assert took == (pytest.approx(12500, abs=2), pytest.approx(10000, abs=2))
    assert line == {
        "id": "0af7651916cd43dd8448eb211c80319c", "client": "192.0.2.1", "listener": "web", "method": "GET", "host": "api.example.com",
        "path": "/users/7", "status": 201, "bytes_in": 3, "bytes_out": 44, "route": "users-route", "member": "127.0.0.1:9001",
        "consumer": "alice", "code": "",
    }  # fmt: skip


def test_every_documented_field_can_be_logged(tmp_path):
    line = logged(tmp_path / "log", finished(version="v1", code="c", refused_by="p"), *LOG_FIELDS)
    assert list(line) == list(LOG_FIELDS)
    assert line["gateway_us"] == pytest.approx(1500, abs=2)
    assert (line["query"], line["protocol"], line["revision"], line["attempts"]) == ("a=1", "1.1", 42, 1)
    assert (line["trace_id"], line["api_version"], line["credential"]) == ("0af7651916cd43dd8448eb211c80319c", "v1", "laptop")


def test_an_exchange_of_which_nothing_is_known_can_be_logged(tmp_path):
    exchange = Exchange(Request("", "*"), "", time.monotonic())
    exchange.finished = exchange.started
    line = logged(tmp_path / "log", exchange, *LOG_FIELDS, "header.X", "response_header.X", "note.x")
    assert (line["status"], line["route"], line["member"], line["gateway_us"], line["header.X"]) == (499, "", "", 0, None)


def test_headers_and_notes_can_be_logged(tmp_path):
    exchange = finished()
    exchange.request.headers = Headers.of([("User-Agent", 'a "quoted" \xe9 agent')])
    exchange.response = Response(200, [("X-Cache", "hit")])
    exchange.notes["merge.missing"] = ["a", "b"]
    line = logged(tmp_path / "log", exchange, "header.user-agent", "response_header.X-Cache", "note.merge.missing", "note.none")
    assert list(line.values()) == ['a "quoted" é agent', "hit", ["a", "b"], None]


@pytest.mark.parametrize("path", ['/"', "/\\", "/\n", "/\x00", "/ä", "/\u2028", "/\udcff", "/'''", "/{x}", "/%0a"])
def test_nothing_in_a_path_can_break_the_line(tmp_path, path):
    assert logged(tmp_path / "log", finished(path))["path"] == path


def test_a_note_that_is_no_json_is_shown_as_text(tmp_path):
    exchange = finished()
    exchange.notes["p.x"] = {1, }  # fmt: skip
    assert logged(tmp_path / "log", exchange, "note.p.x") == {"note.p.x": "{1}"}


@pytest.mark.parametrize("name", ["nonsense", "header.", "header.a'b", "note.a b", "Time", "header.x\n"])
def test_refuses_unknown_fields(name):
    with pytest.raises(ValidationError, match="a field is one of"):
        AccessLogSettings(fields=(name,))


def test_lines_wait_for_the_flush_and_are_then_written_at_once(tmp_path):
    log = AccessLog(AccessLogSettings(path=str(tmp_path / "log")))
    for _ in range(10):
        log.write(finished())
    assert not (tmp_path / "log").exists()
    log.flush()
    assert (tmp_path / "log").read_text().count("\n") == 10


def test_many_lines_do_not_wait_for_the_flush(tmp_path):
    log = AccessLog(AccessLogSettings(path=str(tmp_path / "log")))
    for _ in range(1000):
        log.write(finished())
    assert (tmp_path / "log").read_text().count("\n") >= 700


def test_follows_a_rotation_when_told(tmp_path):
    path = tmp_path / "log"
    log = AccessLog(AccessLogSettings(path=str(path)))
    log.write(finished("/1"))
    log.flush()
    path.rename(tmp_path / "log.1")
    log.write(finished("/2"))
    log.reopen()
    log.write(finished("/3"))
    log.flush()
    assert [json.loads(line)["path"] for line in (tmp_path / "log.1").read_text().splitlines()] == ["/1", "/2"]
    assert json.loads(path.read_text())["path"] == "/3"


def test_takes_new_settings_without_losing_a_line(tmp_path):
    log = AccessLog(AccessLogSettings(path=str(tmp_path / "a")))
    log.write(finished("/1"))
    log.configure(AccessLogSettings(path=str(tmp_path / "b"), fields=("path",)))
    log.write(finished("/2"))
    log.flush()
    assert json.loads((tmp_path / "a").read_text())["path"] == "/1"
    assert (tmp_path / "b").read_text() == '{"path":"/2"}\n'


def test_workers_that_write_to_one_file_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "log"
    pids = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            log = AccessLog(AccessLogSettings(path=str(path)))
            for count in range(600):
                log.write(finished(f"/{number}/{'x' * (count % 97)}"))
                if count % 5 == 0:
                    log.flush()
            log.flush()
            os._exit(0)
        pids.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 1800


def read_all(fd: int) -> bytes:
    octets = b""
    while True:
        try:
            more = os.read(fd, 65536)
        except BlockingIOError:
            return octets
        if not more:
            return octets
        octets += more


@pytest.fixture
def fifo(tmp_path):
    """A named pipe with room for 4096 octets, and the end to read from."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    yield path, reader
    os.close(reader)


def test_a_full_pipe_blocks_nobody_and_what_is_dropped_is_counted(fifo):
    path, reader = fifo
    log = AccessLog(AccessLogSettings(path=str(path), max_waiting=100))
    before = time.monotonic()
    for number in range(2000):
        log.write(finished(f"/{number}"))
    log.flush()
    assert time.monotonic() - before < 2
    seen = b""
    while more := read_all(reader):
        seen += more
        log.flush()
    paths = [json.loads(line)["path"] for line in seen.splitlines()]
    assert len(paths) + log.dropped == 2000
    assert 100 <= len(paths) < 300
    assert paths == sorted(paths, key=lambda path: int(path[1:]))  # the oldest were kept, in order
    log.write(finished("/again"))
    log.flush()
    assert json.loads(read_all(reader))["path"] == "/again"


def test_lines_from_several_writers_stay_whole_in_a_pipe_that_is_often_full(fifo):
    path, reader = fifo
    logs = [AccessLog(AccessLogSettings(path=str(path), max_waiting=10_000)) for _ in range(3)]
    choice = random.Random(3)
    seen = b""
    for _ in range(1500):
        log = choice.choice(logs)
        log.write(finished("/" + "x" * choice.randrange(400)))
        if choice.random() < 0.3:
            log.flush()
        if choice.random() < 0.2:
            seen += read_all(reader)
    for _ in range(3000):
        for log in logs:
            log.flush()
        more = read_all(reader)
        if not more:
            break
        seen += more
    assert len([json.loads(line) for line in seen.splitlines()]) == 1500
    assert not any(log.dropped for log in logs)


def test_lines_longer_than_a_pipe_keeps_whole_arrive_in_the_end(fifo):
    path, reader = fifo
    log = AccessLog(AccessLogSettings(path=str(path)))
    for number in range(3):
        log.write(finished(f"/{number}" + "x" * 9000))
    seen = b""
    while True:
        log.flush()
        more = read_all(reader)
        if not more:
            break
        seen += more
    assert [json.loads(line)["path"][1] for line in seen.splitlines()] == ["0", "1", "2"]


def test_a_pipe_that_nobody_reads_is_tried_again(tmp_path, caplog):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    log = AccessLog(AccessLogSettings(path=str(path)))
    log.write(finished("/1"))
    log.flush()
    log.flush()
    assert len([record for record in caplog.records if "cannot write the access log" in record.message]) == 1
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log.flush()
    assert json.loads(read_all(reader))["path"] == "/1"
    os.close(reader)
    log.write(finished("/2"))
    log.flush()  # a broken pipe
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log.flush()
    assert json.loads(read_all(reader))["path"] == "/2"
    os.close(reader)


def test_a_file_that_cannot_be_opened_costs_lines_and_nothing_else(tmp_path):
    log = AccessLog(AccessLogSettings(path=str(tmp_path / "no" / "such" / "directory"), max_waiting=100))
    for _ in range(1000):
        log.write(finished())
    log.flush()
    assert log.dropped == 900


PROGRAM = """
import time, sys
from gateway.http.message import Request, Response
from gateway.model.exchange import Exchange
from gateway.model.observe import AccessLogSettings
from gateway.observe.access_log import AccessLog
log = AccessLog(AccessLogSettings(max_waiting=100))
for number in range(int(sys.argv[1])):
    exchange = Exchange(Request("GET", f"/{number}"), "", time.monotonic())
    exchange.response = Response(200)
    log.write(exchange)
log.flush()
import os
print(log.dropped, int(os.get_blocking(1)), file=sys.stderr)
"""


def run_program(count: int, output: int) -> list[bytes]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(count)], stdout=output, stderr=subprocess.PIPE, timeout=30, check=True)
    os.close(output)
    return done.stderr.split()


@pytest.mark.parametrize("kind", ["pipe", "file", "socket"])
def test_standard_output_may_be_anything_and_keeps_its_own_mode(tmp_path, kind):
    if kind == "pipe":
        source, output = os.pipe()
    elif kind == "socket":
        source, output = (end.detach() for end in socket.socketpair())
    else:
        output = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
        source = os.open(tmp_path / "out", os.O_RDONLY)
    dropped, blocking = run_program(5, output)
    assert [json.loads(line)["path"] for line in read_all(source).splitlines()] == [f"/{number}" for number in range(5)]
    assert (dropped, blocking) == (b"0", b"1")
    os.close(source)


def test_a_standard_output_that_nobody_reads_stalls_nothing():
    readable, writable = os.pipe()
    dropped = int(run_program(5000, writable)[0])
    assert dropped > 4000
    assert 5000 - dropped - 100 <= read_all(readable).count(b"\n") <= 5000 - dropped
    os.close(readable)
