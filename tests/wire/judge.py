"""Feed octets to the parsers and say what came out, in the words of the corpus."""

from collections.abc import Iterable

import pytest

from gateway.http.errors import ProtocolError
from gateway.http.framing import Limits
from gateway.http.headers import Headers
from gateway.http.parser import Http1Request, Http1Response, Inflow, RequestParser, ResponseParser
from gateway.model.listener import HttpLimits
from tests.wire.corpus import Accepted, Refused, Request, Response, Unfinished, Verdict

DEFAULT = HttpLimits()


def content_of(inflow: Inflow | None) -> bytes | None:
    return None if inflow is None else b"".join(inflow.chunks)


def pairs(trailers: Headers | None) -> tuple[tuple[str, str], ...]:
    return () if trailers is None else tuple(trailers)


def seen(request: Http1Request) -> Request:
    return Request(
        request.method, request.path, request.query, request.host, content_of(request.inflow),
        pairs(request.inflow and request.inflow.trailers), request.keep_alive, request.upgrade, request.expect_continue,
    )  # fmt: skip


def judge_requests(pieces: Iterable[bytes], limits: Limits = DEFAULT) -> Verdict:
    """Feed a client's octets to a parser; the requests are taken away as they come."""
    return judged_requests(pieces, limits)[0]


def judged_requests(pieces: Iterable[bytes], limits: Limits = DEFAULT) -> tuple[Verdict, list[Http1Request]]:
    """As ``judge_requests``, with what the parser made."""
    parser = RequestParser(limits, "http")
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
        return Refused(error.status, error.code, len(whole_ones())), requests
    if parser.in_head or len(whole_ones()) < len(requests):
        return Unfinished(), requests
    return Accepted(tuple(seen(request) for request in requests), parser.leftover), requests


def judge_response(pieces: Iterable[bytes], method: str = "GET", closes: bool = False, limits: Limits = DEFAULT) -> Verdict:
    """Feed a backend's octets to a parser."""
    return judged_response(pieces, method, closes, limits)[0]


def judged_response(
    pieces: Iterable[bytes], method: str = "GET", closes: bool = False, limits: Limits = DEFAULT
) -> tuple[Verdict, Http1Response | None]:
    """As ``judge_response``, with what the parser made."""
    parser = ResponseParser(limits)
    parser.begin(method)
    try:
        for piece in pieces:
            parser.feed(piece)
        if closes:
            parser.eof()
    except ProtocolError as error:
        with pytest.raises(ProtocolError):
            parser.feed(b"HTTP/1.1 200 OK\r\n\r\n")
        with pytest.raises(ProtocolError):
            parser.begin("GET")
        return Refused(error.status, error.code, len(parser.interims)), None
    response = parser.response
    if response is None or not response.inflow.complete:
        return Unfinished(), response
    verdict = Accepted(
        (
            Response(
                response.status, content_of(response.inflow) or b"", pairs(response.inflow.trailers), response.keep_alive,
                tuple(interim.status for interim in parser.interims), response.reason,
            ),
        ),
        parser.leftover,
    )  # fmt: skip
    return verdict, response
