import pytest

from gateway.http.errors import ProtocolError
from gateway.http.parser import RequestParser, ResponseParser
from gateway.model.listener import HttpLimits

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


def client(**limits: int) -> RequestParser:
    return RequestParser(HttpLimits(**limits), "https")


def backend(method: str = "GET") -> ResponseParser:
    parser = ResponseParser(HttpLimits())
    parser.begin(method)
    return parser


def test_a_request_has_everything_that_plugins_read():
    parser = client()
    parser.feed(b"GET /users/%34%32?fields=name HTTP/1.1\r\nHost: API.example:8443\r\nX-Key: secret\r\nx-key: other\r\n\r\n")
    (request,) = parser.heads
    assert (request.method, request.target, request.path, request.query) == (
        "GET",
        b"/users/%34%32?fields=name",
        "/users/42",
        "fields=name",
    )
    assert (request.scheme, request.host, request.version) == ("https", "api.example", "1.1")
    assert request.headers.get("X-Key") == "secret, other"
    assert request.headers.fields[1:] == [(b"X-Key", b"secret"), (b"x-key", b"other")]
    assert (request.body, request.content_length, request.inflow, request.keep_alive) == (None, None, None, True)


def test_headers_of_two_requests_are_independent_even_when_they_are_the_same():
    parser = client()
    for _ in range(4):
        parser.feed(GET)
    first, *others = parser.heads
    first.headers.set("Host", "b.example")
    others[0].headers.add("X-A", "b")
    others[1].headers.remove("Host")
    assert list(others[2].headers) == [("Host", "a.example")]
    parser.feed(GET)
    assert list(parser.heads[-1].headers) == [("Host", "a.example")]


def test_content_is_handed_over_as_it_arrives():
    parser = client()
    parser.feed(POST + b"he")
    (request,) = parser.heads
    inflow = request.inflow
    assert (request.content_length, inflow.length, inflow.chunks, inflow.complete) == (5, 5, [b"he"], False)
    inflow.chunks.clear()
    parser.feed(b"l")
    parser.feed(b"lo")
    assert (inflow.chunks, inflow.complete, inflow.trailers) == ([b"l", b"lo"], True, None)


def test_content_that_arrives_alone_is_not_copied():
    parser = client()
    parser.feed(POST)
    octets = b"".join([b"he", b"l"])
    parser.feed(octets)
    assert parser.heads[0].inflow.chunks[0] is octets


def test_many_small_chunks_become_one_piece_a_feed():
    parser = client()
    parser.feed(b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n")
    parser.feed(b"1\r\nx\r\n" * 1000)
    parser.feed(b"1\r\ny\r\n0\r\nX-Sum: 7\r\n\r\n")
    inflow = parser.heads[0].inflow
    assert inflow.chunks == [b"x" * 1000, b"y"]
    assert (inflow.length, inflow.complete, inflow.trailers.get("x-sum")) == (None, True, "7")


def test_in_head_tells_whether_a_request_has_begun():
    parser = client()
    assert not parser.in_head
    parser.feed(b"G")
    assert parser.in_head
    parser.feed(b"ET / HTTP/1.1\r\nHost: a.example\r\n\r")
    assert parser.in_head
    parser.feed(b"\n")
    assert not parser.in_head
    parser.feed(POST)
    assert not parser.in_head


def test_a_flood_of_pipelined_requests_is_kept_as_octets():
    parser = client()
    parser.feed(GET * 1000)
    served = 0
    while parser.heads:
        assert len(parser.heads) <= 32
        served += len(parser.heads)
        parser.heads.clear()
        if parser.waiting:
            parser.feed(b"")
    assert served == 1000
    assert not parser.waiting


def test_octets_that_arrive_while_requests_wait_come_behind_them():
    parser = client()
    parser.feed(GET * 40 + GET[:10])
    parser.feed(GET[10:] + b"GET /last HTTP/1.1\r\nHost: a.example\r\n\r\n")
    paths = []
    while parser.heads or parser.waiting:
        paths += [request.path for request in parser.heads]
        parser.heads.clear()
        parser.feed(b"")
    assert paths == ["/"] * 41 + ["/last"]


def test_an_error_behind_whole_requests_waits_until_they_are_answered():
    parser = client()
    parser.feed(GET + POST + b"hello" + b"G\0T / HTTP/1.1\r\n\r\n")
    assert [request.method for request in parser.heads] == ["GET", "POST"]
    assert parser.waiting
    parser.feed(b"")
    parser.heads.clear()
    with pytest.raises(ProtocolError):
        parser.feed(b"")


def test_an_error_behind_content_does_not_break_the_request_it_belongs_to():
    parser = client()
    parser.feed(POST)
    request = parser.heads.popleft()
    parser.feed(b"hello\0")
    assert request.inflow.complete
    assert parser.waiting
    with pytest.raises(ProtocolError):
        parser.feed(b"")


def test_an_error_in_content_is_raised_at_once():
    parser = client()
    parser.feed(b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello")
    request = parser.heads.popleft()
    with pytest.raises(ProtocolError):
        parser.feed(b"!")
    assert not request.inflow.complete


def test_a_request_whose_content_is_broken_is_never_seen_but_those_before_it_are():
    parser = client()
    broken = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!"
    with pytest.raises(ProtocolError):
        parser.feed(broken)
    assert not parser.heads
    parser = client()
    parser.feed(GET + broken)
    assert [request.method for request in parser.heads] == ["GET"]
    assert parser.waiting
    parser.heads.clear()
    with pytest.raises(ProtocolError):
        parser.feed(b"")


def test_a_target_with_a_host_makes_up_for_a_missing_one():
    parser = client()
    parser.feed(b"GET https://a.example:443/x HTTP/1.0\r\n\r\n")
    (request,) = parser.heads
    assert (request.host, request.headers.fields) == ("a.example", [(b"Host", b"a.example:443")])
    assert request.headers.get("host") == "a.example:443"


def test_an_upgrade_that_is_ignored_goes_on_with_what_followed():
    parser = client()
    parser.feed(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + GET[:9])
    assert parser.heads.popleft().upgrade == "h2c"
    parser.feed(GET[9:15])
    assert parser.leftover == GET[:15]
    parser.resume(GET[15:])
    assert parser.leftover == b""
    assert len(parser.heads) == 1


def test_an_upgrade_with_close_that_is_ignored_ends_the_connection():
    parser = client()
    parser.feed(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n" + GET)
    parser.heads.clear()
    parser.resume()
    assert not parser.heads


def test_content_of_a_request_can_be_taken_over():
    parser = client()
    parser.feed(POST + b"he")
    assert parser.take_over() == (b"he", 3)
    parser.feed(GET)
    assert [request.method for request in parser.heads] == ["POST", "GET"]


@pytest.mark.parametrize("octets", [b"GET /" + b"a" * 243 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /" + b"a" * 300])
def test_the_longest_request_line_is_as_configured(octets):
    with pytest.raises(ProtocolError) as caught:
        client(max_line_bytes=256).feed(octets)
    assert caught.value.status == 414
    client(max_line_bytes=257).feed(b"GET /" + b"a" * 243 + b" HTTP/1.1\r\nHost: a\r\n\r\n")


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50, GET[:-2] + b"X: " + b"y" * 300 + b"\r\n\r\n"])
def test_the_largest_head_is_as_configured(octets):
    with pytest.raises(ProtocolError) as caught:
        client(max_header_bytes=256).feed(octets)
    assert (caught.value.status, caught.value.code) == (431, "header_too_large")


def test_a_response_with_interims_and_content_in_pieces():
    parser = backend()
    parser.feed(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 Fine\r\nServer: x\r\nContent-Le")
    assert parser.in_head
    assert [(interim.status, interim.headers.get("link")) for interim in parser.interims] == [(103, "</a>")]
    parser.feed(b"ngth: 5\r\n\r\nhe")
    response = parser.response
    assert (response.status, response.reason, response.version, response.keep_alive, response.chunked) == (200, b"Fine", "1.1", True, False)
    assert (response.inflow.length, response.inflow.chunks, response.inflow.complete) == (5, [b"he"], False)
    parser.feed(b"llo")
    assert (response.inflow.chunks, response.inflow.complete, parser.leftover) == ([b"he", b"llo"], True, b"")


def test_one_parser_reads_the_responses_of_one_connection():
    parser = ResponseParser(HttpLimits())
    for method, octets, content in [
        ("GET", OK + b"hello", b"hello"),
        ("HEAD", OK, b""),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b""),
        ("GET", OK + b"again", b"again"),
    ]:
        parser.begin(method)
        parser.feed(octets)
        assert parser.response.inflow.complete
        assert b"".join(parser.response.inflow.chunks) == content


def test_content_of_a_response_can_be_taken_over():
    parser = backend()
    parser.feed(OK + b"he")
    response = parser.response
    assert parser.take_over() == (b"he", 3)
    assert not response.inflow.complete
    parser.begin("GET")
    parser.feed(OK + b"hello")
    assert parser.response.inflow.complete


def test_a_connection_with_unread_or_unasked_octets_takes_no_request():
    parser = backend()
    with pytest.raises(ProtocolError):
        parser.begin("GET")
    parser = ResponseParser(HttpLimits())
    parser.feed(OK)
    assert parser.leftover == OK
    with pytest.raises(ProtocolError):
        parser.begin("GET")


def test_the_end_of_the_connection_ends_only_responses_without_length():
    parser = backend()
    parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    parser.feed(b"lo")
    inflow = parser.response.inflow
    assert not inflow.complete
    parser.eof()
    assert (inflow.chunks, inflow.complete, parser.response.keep_alive) == ([b"hel", b"lo"], True, False)
    parser = backend()
    parser.feed(OK + b"hello")
    parser.eof()
    for octets in (b"", b"HTTP/1.1 2", OK, OK + b"hell"):
        parser = backend()
        parser.feed(octets)
        with pytest.raises(ProtocolError) as caught:
            parser.eof()
        assert (caught.value.status, caught.value.code) == (502, "incomplete_response")


def test_interims_are_limited_even_when_they_are_taken_away():
    parser = backend()
    with pytest.raises(ProtocolError):
        for _ in range(100):
            parser.feed(b"HTTP/1.1 102 Processing\r\n\r\n")
            parser.interims.clear()


def test_a_switch_that_was_not_asked_for_is_refused():
    parser = ResponseParser(HttpLimits())
    parser.begin("GET", upgrade=False)
    with pytest.raises(ProtocolError):
        parser.feed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")


def test_a_content_length_that_says_nothing_is_dropped():
    parser = backend()
    parser.feed(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX: y\r\n\r\n")
    assert list(parser.response.headers) == [("X", "y")]
    parser = backend("HEAD")
    parser.feed(OK)
    assert parser.response.headers.get("content-length") == "5"
