"""One client connection after another, over real sockets: framing, streaming, tunnels, and what either side can do wrong."""

import hashlib
import threading

import pytest

from gateway.testing import RunningGateway
from tests.server.scripted import Peer, Scripted, answer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def backend():
    backend = Scripted()
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def running(backend, tmp_path_factory):
    configuration = {
        "pools": [
            {"name": "scripted", "members": [{"address": backend.address}], "timeouts": {"first_byte_s": 2, "idle_s": 2}},
            {"name": "nobody", "members": [{"address": "127.0.0.1:1"}]},
        ],
        "routes": [
            {"name": "all", "pool": "scripted", "connect": True},
            {"name": "nobody", "match": {"paths": ["/nobody"]}, "pool": "nobody"},
            {"name": "plain", "match": {"paths": ["/plain"]}, "pool": "scripted", "upgrades": []},
        ],
    }
    folder = tmp_path_factory.mktemp("connection")
    gateway = RunningGateway(folder, configuration, env={})
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
def gateway(running, backend):
    backend.begin(answer(OK))
    yield running
    assert backend.errors == []


@pytest.fixture
def client(gateway):
    peer = Peer.connect(gateway.address)
    yield peer
    peer.close()


def reply(peer: Peer, method: str = "GET") -> tuple[bytes, bytes]:
    """Read one response with a Content-Length."""
    head = peer.head()
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    return head, b"" if method == "HEAD" else peer.exactly(length)


def test_answers_pipelined_requests_in_their_order(client, backend):
    def script(peer):
        while True:
            target = peer.head().split()[1]
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))

    backend.script = script
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(100)))
    assert [reply(client)[1] for _ in range(100)] == [b"/%d" % number for number in range(100)]


def test_keeps_one_backend_connection_for_many_requests(client, backend):
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    reply(client)
    before = backend.connections
    for _ in range(20):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        reply(client)
    assert backend.connections == before


def test_tells_the_backend_who_asked_and_removes_what_the_client_made_up(client, backend):
    backend.script = lambda peer: (backend.seen.put(peer.head()), peer.send(OK))
    client.send(
        b"GET /x?y=1 HTTP/1.1\r\nHost: Shop.Example:8000\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: keep-alive, X-Secret\r\n"
        b"X-Secret: 1\r\nX-Real-IP: 6.6.6.6\r\nAccept: */*\r\n\r\n"
    )
    reply(client)
    head = backend.seen.get(timeout=5)
    assert head.startswith(b"GET /x?y=1 HTTP/1.1\r\nHost: Shop.Example:8000\r\n")
    assert b"X-Forwarded-For: 127.0.0.1\r\n" in head and b"6.6.6.6" not in head
    assert b"X-Forwarded-Proto: http\r\n" in head and b"Via: 1.1 gateway\r\n" in head and b"Accept: */*\r\n" in head
    assert b"X-Request-ID: " in head and b"traceparent: 00-" in head
    assert b"X-Secret" not in head and b"Connection" not in head


def test_a_head_response_has_the_length_and_no_content(client, backend):
    backend.script = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Content-Length: 1000\r\n" in client.head()
    backend.script = answer(OK)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_response_without_content_leaves_the_connection_usable(client, backend, status):
    backend.script = answer(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n")
    for _ in range(2):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.head().startswith(b"HTTP/1.1 " + status)


def test_chunked_content_passes_both_ways_with_trailers(client, backend):
    def script(peer):
        head = peer.head()
        assert b"Transfer-Encoding: chunked\r\n" in head and b"Content-Length" not in head
        content = b""
        while size := int(peer.until(b"\r\n"), 16):
            content += peer.exactly(size)
            peer.exactly(2)
        trailers = peer.until(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        peer.send(b"%x\r\n%b\r\n0\r\nX-Sum: %b\r\n\r\n" % (len(content), content, trailers.split()[1]))

    backend.script = script
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n5\r\nhello\r\n")
    client.send(b"6\r\n world\r\n0\r\nX-Check: 42\r\n\r\n")
    head = client.head()
    assert b"Transfer-Encoding: chunked\r\n" in head
    content = client.until(b"0\r\n") + client.until(b"\r\n\r\n")
    assert content == b"b\r\nhello world\r\n0\r\nX-Sum: 42\r\n\r\n"


def test_content_until_the_backend_closes_is_chunked_for_a_1_1_client(client, backend):
    backend.script = lambda peer: (peer.head(), peer.send(b"HTTP/1.1 200 OK\r\n\r\nfirst "), peer.send(b"second"))
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in client.head()
    content = b""
    while size := int(client.until(b"\r\n"), 16):
        content += client.exactly(size)
        client.exactly(2)
    assert content == b"first second"


def test_a_1_0_client_gets_no_chunks_and_a_closed_connection(client, backend):
    backend.script = answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    head, _, content = client.rest().partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head and content == b"hello"


def test_a_1_0_client_that_asks_keeps_its_connection(client):
    for _ in range(3):
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        head, content = reply(client)
        assert b"Connection: keep-alive" in head and content == b"ok"


def test_sends_100_when_the_content_is_wanted(client, backend):
    def script(peer):
        assert b"Expect" not in peer.head()
        assert peer.exactly(4) == b"four"
        peer.send(OK)

    backend.script = script
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"four")
    assert reply(client)[1] == b"ok"


def test_an_early_hint_passes_before_the_response(client, backend):
    backend.script = answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" + OK)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    assert reply(client)[1] == b"ok"


def test_a_large_upload_arrives_whole(client, backend):
    piece = bytes(range(256)) * 4096
    total, rounds = len(piece) * 24, 24

    def script(peer):
        peer.head()
        digest = hashlib.sha256()
        left = total
        while left:
            octets = peer.buffer or peer.sock.recv(1 << 20)
            peer.buffer = b""
            digest.update(octets)
            left -= len(octets)
        backend.seen.put(digest.hexdigest())
        peer.send(OK)

    backend.script = script
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
    for _ in range(rounds):
        client.send(piece)
    assert reply(client)[1] == b"ok"
    expected = hashlib.sha256()
    for _ in range(rounds):
        expected.update(piece)
    assert backend.seen.get(timeout=5) == expected.hexdigest()


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_large_download_arrives_whole(client, backend, framing):
    piece = bytes(range(256)) * 4096
    rounds = 16

    def script(peer):
        peer.head()
        if framing == "length":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * rounds))
        elif framing == "chunked":
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        else:
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(rounds):
            peer.send(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunked" else piece)
        if framing == "chunked":
            peer.send(b"0\r\n\r\n")
        if framing != "close":
            peer.head()

    backend.script = script
    client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    client.head()
    digest, size = hashlib.sha256(client.buffer), len(client.buffer)
    client.buffer = b""
    while octets := client.sock.recv(1 << 20):
        digest.update(octets)
        size += len(octets)
    expected = hashlib.sha256()
    for _ in range(rounds):
        expected.update(piece)
    assert size == len(piece) * rounds and digest.hexdigest() == expected.hexdigest()


def test_events_are_not_held_back(client, backend):
    go = threading.Event()

    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            peer.send(b"9\r\ndata: %d\n\n\r\n" % number)
            assert go.wait(5)
            go.clear()
        peer.send(b"0\r\n\r\n")

    backend.script = script
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.head()
    for number in range(3):
        assert client.until(b"\n\n\r\n") == b"9\r\ndata: %d\n\n\r\n" % number
        go.set()
    client.until(b"0\r\n\r\n")


def test_a_response_may_begin_before_the_request_has_ended(client, backend):
    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            size = int(peer.until(b"\r\n"), 16)
            content = peer.exactly(size)
            peer.exactly(2)
            peer.send(b"%x\r\n%b\r\n" % (size, content))
        peer.until(b"0\r\n\r\n")
        peer.send(b"0\r\n\r\n")

    backend.script = script
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.head()
    for word in (b"one", b"two", b"six"):
        client.send(b"3\r\n%b\r\n" % word)
        assert client.until(word + b"\r\n") == b"3\r\n%b\r\n" % word
    client.send(b"0\r\n\r\n")
    client.until(b"0\r\n\r\n")


def test_a_backend_that_refuses_an_upload_early_is_heard(client, backend):
    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        peer.rest()

    backend.script = script
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 1000)
    head = client.head()
    assert head.startswith(b"HTTP/1.1 413 ") and b"Connection: close\r\n" in head


def test_a_response_that_is_cut_off_does_not_look_complete(gateway, client, backend):
    backend.script = lambda peer: (peer.head(), peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.head()
    content = client.rest()
    assert len(content) < 100
    backend.script = lambda peer: (peer.head(), peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"))
    again = Peer.connect(gateway.address)
    again.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    again.head()
    assert b"0\r\n\r\n" not in again.rest()
    again.close()


def test_a_client_that_leaves_cancels_the_backends_request(gateway, backend):
    def script(peer):
        peer.head()
        backend.seen.put("asked")
        assert peer.sock.recv(1) == b""
        backend.seen.put("cancelled")

    backend.script = script
    client = Peer.connect(gateway.address)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert backend.seen.get(timeout=5) == "asked"
    client.close()
    assert backend.seen.get(timeout=5) == "cancelled"


def test_a_client_that_leaves_within_its_upload_aborts_it(gateway, backend):
    def script(peer):
        peer.head()
        backend.seen.put("asked")
        try:
            rest = peer.sock.recv(100)
            while rest:
                rest = peer.sock.recv(100)
            backend.seen.put("ended")
        except ConnectionResetError:
            backend.seen.put("reset")

    backend.script = script
    client = Peer.connect(gateway.address)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf")
    assert backend.seen.get(timeout=5) == "asked"
    client.close()
    assert backend.seen.get(timeout=5) == "reset"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"garbage\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502),
        (b"HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n", 502),
        (b"", 502),
    ],
)
def test_a_bad_response_is_a_502_with_a_word_for_it(gateway, backend, octets, status):
    backend.script = lambda peer: (peer.head(), peer.send(octets))
    answered = gateway.get("/")
    assert answered.status == status
    assert answered.json()["code"] in ("bad_response", "reset_before_headers")


def test_a_backend_that_says_nothing_is_a_504(gateway, backend):
    backend.script = lambda peer: (peer.head(), peer.rest())
    assert (gateway.get("/").status, gateway.get("/").json()["code"]) == (504, "first_byte_timeout")


def test_a_backend_that_cannot_be_reached_is_a_502(gateway):
    answered = gateway.get("/nobody")
    assert (answered.status, answered.json()["code"]) == (502, "connect_failure")


def test_a_kept_connection_that_the_backend_closed_costs_the_client_nothing(gateway, backend):
    def script(peer):
        peer.head()
        peer.send(OK)  # and close, without having said so

    backend.script = script
    assert [gateway.get("/").status for _ in range(20)] == [200] * 20


def test_an_unsafe_request_is_never_sent_twice(gateway, backend):
    def script(peer):
        while True:
            head = peer.head()
            backend.seen.put(head.split()[0])
            if head.startswith(b"POST"):
                return  # close without an answer
            peer.send(OK)

    backend.script = script
    assert gateway.get("/").status == 200
    assert gateway.post("/", b"").status == 502
    assert [backend.seen.get(timeout=1) for _ in range(2)] == [b"GET", b"POST"]
    assert backend.seen.empty()


def test_refuses_a_request_with_two_lengths_without_asking_a_backend(gateway, backend, client):
    before = backend.connections
    backend.script = lambda peer: backend.seen.put(peer.head())
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
    answered = client.rest()
    assert answered.startswith(b"HTTP/1.1 400 ") and b"Connection: close\r\n" in answered
    assert backend.connections == before and backend.seen.empty()


def test_a_tunnel_carries_octets_both_ways_until_one_side_ends_it(client, backend):
    def script(peer):
        head = peer.head()
        assert b"Upgrade: websocket\r\n" in head and b"Connection: Upgrade\r\n" in head
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello ")
        assert peer.exactly(9) == b"from here"
        peer.send(b"and back")

    backend.script = script
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfrom ")
    head = client.head()
    assert head.startswith(b"HTTP/1.1 101 ") and b"Upgrade: websocket\r\n" in head
    client.send(b"here")
    assert client.rest() == b"hello and back"


def test_an_upgrade_that_the_route_does_not_allow_is_ignored(client, backend):
    backend.script = lambda peer: (backend.seen.put(peer.head()), peer.send(OK))
    client.send(b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert reply(client)[1] == b"ok"
    assert b"pgrade" not in backend.seen.get(timeout=5)
    client.send(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
    assert reply(client)[1] == b"ok"


def test_a_silent_tunnel_is_closed(client, backend):
    backend.script = lambda peer: (peer.head(), peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"), peer.rest())
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    client.head()
    assert client.rest() == b""


def test_a_body_that_a_refused_request_brought_does_not_spoil_the_next_one(gateway, client):
    client.send(b"POST /nobody HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    client.send(b"helloGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert reply(client)[0].startswith(b"HTTP/1.1 502 ")
    assert reply(client)[1] == b"ok"
