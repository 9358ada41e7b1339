"""Every case of the wire corpus, fed whole, octet by octet and at random cuts."""

import random

import pytest

from gateway.http.errors import ProtocolError
from gateway.http.headers import Headers
from gateway.http.parser import Http1Request, Inflow, RequestParser, ResponseParser
from gateway.model.listener import HttpLimits
from tests.wire.corpus import Accepted, Case, Refused, Request, Response, Unfinished, Verdict, cases

SEED = random.randrange(1 << 32)
REQUESTS = cases("requests")
RESPONSES = cases("responses")


def whole(octets: bytes, _: random.Random) -> list[bytes]:
    return [octets]


def by_octet(octets: bytes, _: random.Random) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


def at_random(octets: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(octets) + 1) for _ in range(chance.randrange(1, 8)))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]


FEEDS = [whole, by_octet, at_random, at_random, at_random]


def content_of(inflow: Inflow | None) -> bytes | None:
    return None if inflow is None else b"".join(inflow.chunks)


def pairs(trailers: Headers | None) -> tuple[tuple[str, str], ...]:
    return () if trailers is None else tuple(trailers)


def seen(request: Http1Request) -> Request:
    return Request(
        request.method, request.path, request.query, request.host, content_of(request.inflow),
        pairs(request.inflow and request.inflow.trailers), request.keep_alive, request.upgrade, request.expect_continue,
    )  # fmt: skip


def judge_requests(pieces: list[bytes]) -> Verdict:
    parser = RequestParser(HttpLimits(), "http")
    requests: list[Http1Request] = []

    def whole_ones() -> list[Http1Request]:
        return [request for request in requests if request.inflow is None or request.inflow.complete]

    def feed(octets: bytes) -> None:
        try:
            parser.feed(octets)
        finally:
            requests.extend(parser.heads)
            parser.heads.clear()

    try:
        for piece in pieces:
            feed(piece)
            while parser.waiting:
                feed(b"")
    except ProtocolError as error:
        with pytest.raises(ProtocolError) as again:
            parser.feed(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert (again.value.status, again.value.code) == (error.status, error.code)
        return Refused(error.status, error.code, len(whole_ones()))
    if parser.in_head or len(whole_ones()) < len(requests):
        return Unfinished()
    return Accepted(tuple(seen(request) for request in requests), parser.leftover)


def judge_response(case: Case, pieces: list[bytes]) -> Verdict:
    parser = ResponseParser(HttpLimits())
    parser.begin(case.method)
    try:
        for piece in pieces:
            parser.feed(piece)
        if case.closes:
            parser.eof()
    except ProtocolError as error:
        with pytest.raises(ProtocolError):
            parser.feed(b"HTTP/1.1 200 OK\r\n\r\n")
        with pytest.raises(ProtocolError):
            parser.begin("GET")
        return Refused(error.status, error.code, len(parser.interims))
    response = parser.response
    if response is None or not response.inflow.complete:
        return Unfinished()
    return Accepted(
        (
            Response(
                response.status, content_of(response.inflow) or b"", pairs(response.inflow.trailers), response.keep_alive,
                tuple(interim.status for interim in parser.interims), response.reason,
            ),
        ),
        parser.leftover,
    )  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.name)
def test_a_request_gets_its_documented_verdict_however_it_is_cut(case):
    print("seed", SEED)
    chance = random.Random(SEED)
    for feed in FEEDS:
        assert judge_requests(feed(case.octets, chance)) == case.verdict, feed.__name__


@pytest.mark.parametrize("case", RESPONSES, ids=lambda case: case.name)
def test_a_response_gets_its_documented_verdict_however_it_is_cut(case):
    print("seed", SEED)
    chance = random.Random(SEED)
    for feed in FEEDS:
        assert judge_response(case, feed(case.octets, chance)) == case.verdict, feed.__name__


def test_the_corpus_is_large_enough_and_its_names_are_unique():
    assert len({case.name for case in REQUESTS + RESPONSES}) == len(REQUESTS + RESPONSES)
    assert sum(isinstance(case.verdict, Refused) for case in REQUESTS) >= 160
    assert sum(isinstance(case.verdict, Refused) for case in RESPONSES) >= 45
