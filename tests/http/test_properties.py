"""Any octets at all: the invariants of the wire corpus on generated messages and on damaged ones."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.http import writer
from gateway.http.headers import Headers
from gateway.model.listener import HttpLimits
from tests.wire.corpus import Accepted, Request, Response, cases
from tests.wire.invariants import TIGHT, check_requests, check_response
from tests.wire.judge import judge_requests, judge_response

SHORT = 2000
LIMITS = st.sampled_from([HttpLimits(), TIGHT])
SEEDS = st.integers(0, 1 << 16)
#: what makes a difference to some parser somewhere
BITS = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"\x0b", b"\x80", b"0", b"5", b"a", b"0\r\n\r\n", b"\r\n\r\n",
        b"\r\n ", b"%2e", b"/..", b"Host: a\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b"HTTP/1.0", b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Expect: 100-continue\r\n", b"Content-Length: 0\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\n",
        b"5;a=b\r\nhello\r\n",
    ]
)  # fmt: skip
EDITS = st.lists(st.tuples(st.integers(0, SHORT), st.integers(0, 12), st.one_of(BITS, st.binary(max_size=4))), max_size=4)


def damaged(kind: str) -> st.SearchStrategy[bytes]:
    """Octets of the corpus, one behind the other, with a few places changed."""
    octets = sorted({case.octets for case in cases(kind) if len(case.octets) < SHORT})

    def apply(parts: list[bytes], edits: list[tuple[int, int, bytes]]) -> bytes:
        whole = b"".join(parts)
        for at, gone, new in edits:
            at %= len(whole) + 1
            whole = whole[:at] + new + whole[at + gone :]
        return whole

    return st.builds(apply, st.lists(st.sampled_from(octets), min_size=1, max_size=2), EDITS)


@given(st.one_of(st.binary(max_size=200), damaged("requests")), SEEDS, LIMITS)
@settings(max_examples=400)
def test_any_octets_of_a_client_are_parsed_or_refused_in_one_way(octets, seed, limits):
    check_requests(octets, seed, limits)


@given(st.one_of(st.binary(max_size=200), damaged("responses")), SEEDS, LIMITS)
@settings(max_examples=400)
def test_any_octets_of_a_backend_are_parsed_or_refused_in_one_way(octets, seed, limits):
    check_response(octets, seed, limits)


TOKENS = st.text("!#$%&'*+-.^`|~09azAZ", min_size=1, max_size=12)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30).map(lambda text: text.strip(" \t"))
#: fields that mean nothing to the message itself
FIELDS = st.lists(st.tuples(TOKENS.map(lambda token: f"x-{token}"), VALUES), max_size=8)
CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


def written(head: bytes, chunks: list[bytes], chunked: bool, trailers: list[tuple[str, str]]) -> bytes:
    if chunked:
        return head + b"".join(map(writer.chunk, chunks)) + writer.last_chunk(Headers.of(trailers))
    return head + b"".join(chunks)


PATHS = st.text("/azAZ09-._~!$&'()*+,;=:@", max_size=30).filter(lambda path: "/." not in f"/{path}")
QUERIES = st.text(st.characters(codec="ascii", min_codepoint=0x21, exclude_characters="#\x7f"), max_size=20)


@given(st.sampled_from(["GET", "POST", "M-SEARCH"]), PATHS, QUERIES, FIELDS, CHUNKS, st.booleans(), FIELDS, SEEDS)
@example("GET", "", "", [], [], False, [], 0)
def test_a_request_that_is_written_is_read_as_it_was_meant(method, path, query, fields, chunks, chunked, trailers, seed):
    headers = Headers.of([("Host", "a.example"), ("Content-Length", "9"), *fields])
    content = b"".join(chunks)
    extra = writer.framing(headers, None if chunked else len(content), chunked)
    octets = written(writer.request_head(method, writer.origin_form(f"/{path}", query), headers.fields, extra), chunks, chunked, trailers)
    expected = Request(
        method, f"/{path}", query, content=content if chunked or content else None, trailers=tuple(trailers) if chunked else ()
    )
    assert judge_requests([octets]) == Accepted((expected,))
    check_requests(octets, seed, HttpLimits())


@given(st.integers(200, 599).filter(lambda status: status not in (204, 304)), VALUES, FIELDS, CHUNKS, st.booleans(), FIELDS)
def test_a_response_that_is_written_is_read_as_it_was_meant(status, reason, fields, chunks, chunked, trailers):
    headers = Headers.of(fields)
    content = b"".join(chunks)
    extra = writer.framing(headers, None if chunked else len(content), chunked)
    octets = written(writer.response_head(status, reason.encode("latin-1"), headers.fields, extra), chunks, chunked, trailers)
    (read,) = judge_response([octets]).messages
    assert read == Response(status, content, tuple(trailers) if chunked else (), reason=read.reason)
    assert not reason or read.reason == reason.encode("latin-1")
