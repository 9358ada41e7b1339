"""What holds for any octets whatever. Shared by the Hypothesis tests and the coverage-guided fuzzer.

1. A parser parses or raises ProtocolError, and nothing else.
2. The verdict does not depend on how the octets are cut.
3. What is accepted can be written again as one message that has one reading: for our own parser, and for llhttp on its own.
"""

import random

import httptools

from gateway.http import writer
from gateway.http.framing import Limits
from gateway.http.headers import Headers
from gateway.http.hop import strip_hop_by_hop
from gateway.http.parser import Http1Request, Http1Response
from gateway.model.listener import HttpLimits
from tests.wire.corpus import Accepted, Request, Response
from tests.wire.judge import judge_requests, judge_response, judged_requests, judged_response

#: so small that short octets reach every cap
TIGHT = HttpLimits(max_line_bytes=256, max_headers=4, max_header_bytes=256)
#: what we write has a field or two more than what we read
ROOMY = HttpLimits(max_line_bytes=1 << 16, max_headers=200, max_header_bytes=1 << 17)
METHODS = ("GET", "HEAD", "CONNECT")


def one_input(data: bytes) -> None:
    """Check octets of which the first three choose how they are fed; anything raised is a finding."""
    if len(data) < 3:
        return
    seed, octets = data[0] | data[1] << 8, data[3:]
    check = check_response if data[2] & 1 else check_requests
    check(octets, seed, TIGHT if data[2] & 2 else HttpLimits())


def cut(octets: bytes, chance: random.Random) -> list[bytes]:
    """Cut octets at up to twelve places."""
    cuts = sorted(chance.randrange(len(octets) + 1) for _ in range(chance.randrange(1, 13)))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]


def check_requests(octets: bytes, seed: int, limits: Limits) -> None:
    """Check a client's octets."""
    verdict, requests = judged_requests([octets], limits)
    assert judge_requests(cut(octets, random.Random(seed)), limits) == verdict
    if not isinstance(verdict, Accepted):
        return
    for request, seen in zip(requests, verdict.messages, strict=True):
        if request.method == "CONNECT" or request.upgrade:
            continue  # what follows is another protocol's
        assert isinstance(seen, Request)
        again = forwarded(request)
        expected = Request(seen.method, seen.path, seen.query, seen.host or "backend.example", seen.content, seen.trailers)
        result = judge_requests([again], ROOMY)
        assert isinstance(result, Accepted) and not result.leftover, (again, result)
        (read,) = result.messages
        assert isinstance(read, Request)
        assert read == expected, (again, read, expected)
        assert _second_opinion(httptools.HttpRequestParser, again) == (1, seen.content or b""), again


def check_response(octets: bytes, seed: int, limits: Limits) -> None:
    """Check a backend's octets."""
    method, closes = METHODS[seed % 3], seed % 2 == 0
    verdict, response = judged_response([octets], method, closes, limits)
    assert judge_response(cut(octets, random.Random(seed)), method, closes, limits) == verdict
    if not isinstance(verdict, Accepted) or response is None or response.status == 101 or method == "CONNECT":
        return
    (seen,) = verdict.messages
    assert isinstance(seen, Response)
    again = passed_on(response, method)
    result = judge_response([again], method, limits=ROOMY)
    assert isinstance(result, Accepted) and not result.leftover, (again, result)
    (read,) = result.messages
    assert isinstance(read, Response)
    assert (read.status, read.content, read.trailers, read.keep_alive) == (seen.status, seen.content, seen.trailers, True), again
    if method != "HEAD":
        assert _second_opinion(httptools.HttpResponseParser, again) == (1, seen.content), again


def forwarded(request: Http1Request) -> bytes:
    """Write a request as the core does: without what is hop-by-hop, framed anew."""
    headers = request.headers.copy()
    strip_hop_by_hop(headers)
    headers.remove("Expect")
    if "host" not in headers:
        headers.set("Host", request.host or "backend.example")
    inflow = request.inflow
    chunked = inflow is not None and inflow.length is None
    extra = writer.framing(headers, request.content_length, chunked)
    target = b"*" if request.path == "*" else writer.origin_form(request.path, request.query)
    head = writer.request_head(request.method, target, headers.fields, extra)
    return head + _content(b"" if inflow is None else b"".join(inflow.chunks), chunked, inflow and inflow.trailers)


def passed_on(response: Http1Response, method: str) -> bytes:
    """Write a response as the core does."""
    headers, inflow = response.headers.copy(), response.inflow
    strip_hop_by_hop(headers)
    content = b"".join(inflow.chunks)
    if method == "HEAD" or response.status in (204, 304):
        return writer.response_head(response.status, response.reason, headers.fields)
    chunked = inflow.length is None
    extra = writer.framing(headers, None if chunked else len(content), chunked)
    return writer.response_head(response.status, response.reason, headers.fields, extra) + _content(content, chunked, inflow.trailers)


def _content(content: bytes, chunked: bool, trailers: Headers | None) -> bytes:
    return writer.chunk(content) + writer.last_chunk(trailers) if chunked else content


def _second_opinion(kind: type, octets: bytes) -> tuple[int, bytes]:
    """Return how many messages llhttp finds when it does its own framing, and their content."""

    class Count:
        messages = 0
        content = b""

        def on_body(self, content: bytes) -> None:
            self.content += content

        def on_message_complete(self) -> None:
            self.messages += 1

    count = Count()
    kind(count).feed_data(octets)
    return count.messages, count.content
