"""The wire corpus over real sockets: what is refused gets its documented answer, and nothing of it passes, in either direction."""

import ipaddress
import random
import socket
import time
from dataclasses import dataclass

import orjson
import pytest

from gateway.testing import RunningGateway, free_ports
from tests.scenarios.node import eventually
from tests.scenarios.recording import PAUSE_S, Recording, Seen
from tests.server.scripted import Peer
from tests.wire.corpus import Accepted, Case, Refused, Request, Unfinished, cases

SEED = random.randrange(1 << 32)
AGAIN = b"GET /again HTTP/1.1\r\nHost: a.example\r\n\r\n"
#: found after the head, which has passed when the network cut the message
CONTENT = ("bad_chunk", "bad_trailer", "trailers_too_large")
#: what the gateway reads at once: a broken request that is longer has begun to be forwarded when the rest comes
ONE_READ = 16384
#: backends may send larger heads than clients, and have a test of their own
CAPS = ("status_too_long", "response_too_many_fields", "response_too_large")


def of(kind: str, *verdicts: type) -> list[Case]:
    return [case for case in cases(kind) if isinstance(case.verdict, verdicts)]


def in_two(case: Case) -> tuple[bytes, ...]:
    if len(case.octets) < 2:
        return (case.octets,)
    at = random.Random(f"{SEED} {case.name}").randrange(1, len(case.octets))
    return case.octets[:at], case.octets[at:]


def whole(case: Case) -> tuple[bytes, ...]:
    return (case.octets,)


@pytest.fixture(scope="module")
def backend():
    backend = Recording()
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def gateway(backend, tmp_path_factory):
    pool = {"name": "recording", "members": [{"address": backend.address}], "retries": {"attempts": 0}}
    routes = [{"name": "all", "pool": "recording", "connect": True}]
    patient, hasty = (f"127.0.0.1:{port}" for port in free_ports(2))
    limits = {"head_s": 0.7, "body_idle_s": 0.7}
    listeners = [{"name": "patient", "address": patient}, {"name": "hasty", "address": hasty, "http": limits}]
    configuration = {"listeners": listeners, "pools": [pool], "routes": routes}
    gateway = RunningGateway(tmp_path_factory.mktemp("wire"), configuration, env={})
    gateway.address, gateway.hasty = patient, hasty
    yield gateway
    assert gateway.stop() == 0
    assert "Traceback" not in gateway.log


@pytest.fixture(autouse=True)
def usual(backend):
    print("seed", SEED)
    backend.pieces, backend.closes = (), False
    backend.take()


@dataclass
class Answer:
    """A response as a client reads it. ``ended`` is false when it was cut off."""

    status: int
    head: bytes
    content: bytes
    ended: bool

    @property
    def code(self) -> str:
        return orjson.loads(self.content)["code"]


def read(octets: bytes, method: str = "GET") -> tuple[Answer, bytes]:
    """Take one response off the octets, interim ones before it left out."""
    head, end, rest = octets.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status < 200 and status != 101:
        return read(rest, method)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if method == "HEAD" or status in (101, 204, 304) or (method == "CONNECT" and status == 200):
        return Answer(status, head, b"", bool(end)), rest
    if fields.get(b"transfer-encoding") == b"chunked":
        content = b""
        while True:
            size, end, rest = rest.partition(b"\r\n")
            if not end or len(rest) < int(size, 16) + 2:
                return Answer(status, head, content, False), b""
            if not int(size, 16):
                trailers, end, rest = (b"\r\n" + rest).partition(b"\r\n\r\n")
                return Answer(status, head + trailers, content, bool(end)), rest
            content, rest = content + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    length = int(fields.get(b"content-length", b"0"))
    return Answer(status, head, rest[:length], len(rest) >= length), rest[length:]


def send(address: str, pieces: tuple[bytes, ...]) -> Peer:
    peer = Peer.connect(address)
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number, piece in enumerate(pieces):
        if number:
            time.sleep(PAUSE_S)
        try:
            peer.send(piece)
        except ConnectionError:  # refused by what came before
            break
    return peer


def through(peer: Peer) -> bytes:
    """End the client's half of a tunnel, which ends the other, and return what came out of it."""
    head = peer.head()
    peer.sock.shutdown(socket.SHUT_WR)
    return head + peer.rest()


def host_of(value: str) -> str:
    """Return the host of a Host field, an IPv6 address in its shortest form."""
    if value.startswith("["):
        return str(ipaddress.ip_address(value[1:].partition("]")[0]))
    return value.partition(":")[0].removesuffix(".").lower()


def matches(seen: Seen, expected: Request) -> bool:
    """Tell whether a backend saw what the corpus says, and nothing beyond."""
    path, _, query = seen.target.partition("?")
    return (
        (seen.method, path, query) == (expected.method, expected.path, expected.query)
        and (not expected.host or host_of(seen.host) == host_of(expected.host))
        and seen.content == (expected.content or b"")
        and tuple(seen.trailers) == expected.trailers
    )


def reached(seen: list[Seen], expected: tuple[Request, ...]) -> None:
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        assert matches(one, other), (one, other)


@pytest.mark.parametrize("pieces", [whole, in_two])
@pytest.mark.parametrize("case", of("requests", Refused), ids=lambda case: case.name)
def test_a_refused_request_gets_its_status_and_never_reaches_the_backend(gateway, backend, case, pieces):
    verdict = case.verdict
    octets = send(gateway.address, pieces(case)).rest()
    for _ in range(verdict.after):
        answer, octets = read(octets)
        assert answer.status == 200
    answer, rest = read(octets)
    assert (answer.status, answer.code, answer.ended, rest) == (verdict.status, verdict.code, True, b"")
    assert b"Connection: close" in answer.head
    taken = backend.take()
    assert len(taken.whole) == verdict.after
    if (pieces is whole and len(case.octets) <= ONE_READ) or verdict.code not in CONTENT:
        assert not taken.begun
        assert verdict.after or not taken.octets


@pytest.mark.parametrize("pieces", [whole, in_two])
@pytest.mark.parametrize("case", of("requests", Accepted), ids=lambda case: case.name)
def test_an_accepted_request_reaches_the_backend_in_one_reading(gateway, backend, case, pieces):
    messages = case.verdict.messages
    last = messages[-1]
    tunnel = last.upgrade == "websocket" or last.method == "CONNECT"
    peer = send(gateway.address, pieces(case))
    if last.keep_alive and not tunnel:
        peer.send(AGAIN.replace(b"again HTTP/1.1", b"again HTTP/1.0"))
        messages = (*messages, Request(path="/again"))
    octets = through(peer) if tunnel else peer.rest()
    taken = backend.take()
    statuses = []
    for message in messages:
        answer, octets = read(octets, message.method)
        statuses.append(answer.status)
        assert answer.ended
    assert octets == b""
    assert statuses[:-1] == [200] * (len(messages) - 1)
    assert statuses[-1] == (101 if last.upgrade == "websocket" else 200)
    reached(taken.whole, messages)
    assert not taken.begun
    assert taken.whole[-1].tunnelled == case.verdict.leftover


def test_an_unfinished_request_meets_its_deadline_and_never_counts_as_whole(gateway, backend):
    unfinished = of("requests", Unfinished)
    peers = [(case, send(gateway.hasty, whole(case))) for case in unfinished]
    for case, peer in peers:
        answer, rest = read(peer.rest())
        assert (answer.status, answer.ended, rest) == (408, True, b""), case.name
        assert answer.code == ("body_timeout" if b"\r\n\r\n" in case.octets else "head_timeout"), case.name
    assert not backend.take().whole


def test_an_unfinished_request_whose_client_leaves_never_counts_as_whole(gateway, backend):
    peers = [send(gateway.address, whole(case)) for case in of("requests", Unfinished)]
    for peer in peers:
        peer.sock.shutdown(socket.SHUT_WR)
    for peer in peers:
        assert not peer.rest().startswith(b"HTTP/1.1 200")
    taken = backend.take()
    assert not taken.whole
    assert len(taken.begun) == sum(b"\r\n\r\n" in case.octets for case in of("requests", Unfinished))


def ask(gateway: RunningGateway, case: Case, version: bytes = b"1.1") -> Peer:
    """Send the request that the case's response answers."""
    target = b"a.example:443" if case.method == "CONNECT" else b"/"
    fields = b"Host: " + (target if case.method == "CONNECT" else b"a.example") + b"\r\n"
    if isinstance(case.verdict, Accepted) and case.verdict.messages[0].status == 101:
        fields += b"Connection: upgrade\r\nUpgrade: websocket\r\n"
    else:
        fields += b"Connection: close\r\n" if version == b"1.1" else b""
    return send(gateway.address, (case.method.encode() + b" " + target + b" HTTP/" + version + b"\r\n" + fields + b"\r\n",))


@pytest.mark.parametrize("pieces", [whole, in_two])
@pytest.mark.parametrize("case", [case for case in of("responses", Refused) if case.name not in CAPS], ids=lambda case: case.name)
def test_a_bad_response_becomes_a_502_or_is_cut_off_where_it_had_begun(gateway, backend, case, pieces):
    backend.pieces, backend.closes = pieces(case), case.closes
    answer, rest = read(ask(gateway, case).rest(), case.method)
    assert rest == b""
    if answer.status != 502:
        assert case.verdict.code in ("incomplete_response", *CONTENT), "the head was wrong and passed"
        assert not answer.ended
        assert pieces is in_two or case.verdict.code == "incomplete_response"
    assert b"Set-Cookie" not in answer.head
    assert backend.take().open == 0, "the connection to the backend is not used again"


@pytest.mark.parametrize("pieces", [whole, in_two])
@pytest.mark.parametrize("case", of("responses", Accepted), ids=lambda case: case.name)
def test_a_good_response_reaches_the_client(gateway, backend, case, pieces):
    (expected,) = case.verdict.messages
    backend.pieces, backend.closes = pieces(case), case.closes
    peer = ask(gateway, case)
    tunnel = expected.status == 101 or (case.method == "CONNECT" and expected.status == 200)
    octets = through(peer) if tunnel else peer.rest()
    answer, rest = read(octets, case.method)
    assert (answer.status, answer.content, answer.ended) == (expected.status, expected.content, True)
    assert rest == (case.verdict.leftover if tunnel else b""), "what came behind a response is nobody's"
    assert [line for line in answer.head.split(b"\r\n\r\n") if line]
    for name, value in expected.trailers:
        assert f"{name}: {value}".encode() in answer.head
    assert [status for status in (102, 103) if b"HTTP/1.1 %d " % status in octets] == [s for s in expected.interims if s != 100]


def test_a_client_without_chunks_is_told_by_a_reset_that_content_was_cut_off(gateway, backend):
    for case in of("responses", Refused):
        if not case.octets.startswith(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"):
            continue
        head, chunks = case.octets.split(b"\r\n\r\n", 1)
        backend.pieces, backend.closes = (head + b"\r\n\r\n", chunks), case.closes
        peer = ask(gateway, case, b"1.0")
        with pytest.raises(ConnectionResetError):
            while peer.more():
                pass


def test_a_client_without_chunks_that_reads_too_slowly_is_told_by_a_reset(gateway, backend):
    backend.pieces, backend.closes = (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(4 << 20),), True
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the kernel reads instead of us
    host, _, port = gateway.hasty.partition(":")
    sock.connect((host, int(port)))
    peer = Peer(sock)
    peer.send(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
    eventually(lambda: backend.take().whole, "the backend was asked")
    eventually(lambda: backend.take().open == 0, "the gateway has given up")
    with pytest.raises(ConnectionResetError):
        while peer.more():
            pass


@pytest.mark.parametrize(
    ("line", "fields", "octets", "status"),
    [
        (16384, 1, 0, 200),
        (16385, 1, 0, 502),
        (15, 199, 0, 200),
        (15, 200, 0, 502),
        (15, 1, 131000, 200),
        (15, 1, 131073, 502),
    ],
)
def test_a_backend_may_send_a_larger_head_than_a_client_but_not_any(gateway, backend, line, fields, octets, status):
    head = b"HTTP/1.1 200 OK".ljust(line, b"K") + b"\r\nContent-Length: 2\r\n" + b"X: y\r\n" * (fields - 1)
    backend.pieces = (head + b"X: " + b"y" * octets + b"\r\n\r\nok",)
    answer, _ = read(send(gateway.address, (b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",)).rest())
    assert answer.status == status


def test_a_switch_of_protocol_that_nobody_asked_for_is_a_502(gateway, backend):
    switching = next(case for case in of("responses", Accepted) if case.name == "response_switching")
    backend.pieces = whole(switching)
    peer = send(gateway.address, (b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",))
    answer, _ = read(peer.rest())
    assert (answer.status, answer.code) == (502, "bad_response")


def test_the_corpus_is_large_enough():
    assert len(of("requests", Refused)) >= 150
    assert len(of("responses", Refused)) >= 40
