"""What one head, one response and one chunk cost: ``python -m benchmarks.micro_http``.

The smallest of many short runs is shown, because everything above it is another process's work. The first
line is httptools with callbacks that do nothing, so that two machines can be compared by ratio; targets are for a core on which it
takes 1.5 µs.
"""

import time
from collections.abc import Callable
from itertools import count, cycle

from httptools import HttpRequestParser

from gateway.http import writer
from gateway.http.headers import Headers
from gateway.http.hop import strip_hop_by_hop
from gateway.http.parser import RequestParser, ResponseParser
from gateway.model.listener import HttpLimits

REQUEST_3 = b"GET /users/42 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: wrk/4.2.0\r\nAccept: */*\r\n\r\n"
REQUEST_9 = (
    b"GET /users/42?fields=name HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: application/json, text/plain, */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Referer: https://app.example.com/users\r\nX-API-Key: 0123456789abcdef0123456789abcdef\r\nCookie: session=abcdef0123456789\r\n\r\n"
)
RESPONSE_6 = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 03:00:00 GMT\r\nContent-Type: application/json\r\n"
    b'Content-Length: 27\r\nConnection: keep-alive\r\nETag: "65b2c0a1-1b"\r\n\r\n{"id": 42, "name": "alice"}'
)
POST = b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n" + b"x" * 27
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"


def smallest(cases: list[Callable[[], object]], rounds: int = 3000, times: int = 20) -> list[float]:
    """Return the cost of one call of each in microseconds. Cases take turns, so that all of them meet the quiet moments."""
    best = [float("inf")] * len(cases)
    numbers = range(times)
    for _ in range(rounds):
        for place, action in enumerate(cases):
            started = time.perf_counter()
            for _ in numbers:
                action()
            best[place] = min(best[place], time.perf_counter() - started)
    return [seconds / times * 1e6 for seconds in best]


class _Ignore:
    """The least that a user of httptools can do: what llhttp itself costs."""

    on_body = on_chunk_complete = on_chunk_header = on_message_begin = on_status = None

    def on_url(self, url: bytes) -> None:
        """Ignore the target."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Ignore a field."""

    def on_headers_complete(self) -> None:
        """Ignore the end of a head."""

    def on_message_complete(self) -> None:
        """Ignore the end of a message."""


def _variants(octets: bytes, change: bytes) -> list[bytes]:
    """Return messages with the same number of octets; two in a row differ where ``change`` is."""
    return [octets.replace(change, change[::-1]), octets] if change else [octets]


def main() -> None:
    """Print a line for each case."""
    bare = HttpRequestParser(_Ignore())
    requests = RequestParser(HttpLimits(), "http")
    responses = ResponseParser(HttpLimits())

    def request(octets: bytes, change: bytes = b"") -> Callable[[], object]:
        turns = cycle(_variants(octets, change))

        def run() -> object:
            requests.feed(next(turns))
            return requests.heads.popleft()

        return run

    def response(octets: bytes, change: bytes = b"") -> Callable[[], object]:
        turns = cycle(_variants(octets, change))

        def run() -> object:
            responses.begin("GET")
            responses.feed(next(turns))
            return responses.response

        return run

    def many_targets() -> Callable[[], object]:
        before, after = REQUEST_9.split(b"42")
        numbers = count()

        def run() -> object:
            requests.feed(b"%b%d%b" % (before, next(numbers), after))
            return requests.heads.popleft()

        return run

    requests.feed(REQUEST_9)
    parsed = requests.heads.popleft().headers

    def strip() -> Headers:
        headers = parsed.copy()
        strip_hop_by_hop(headers)
        return headers

    cases: list[tuple[str, Callable[[], object], float]] = [
        ("httptools alone, 9 fields", lambda: bare.feed_data(REQUEST_9), 0),
        ("request, 3 fields", request(REQUEST_3, b"wrk"), 2.5),
        ("request, 3 fields, the same as before", request(REQUEST_3), 0),
        ("request, 9 fields", request(REQUEST_9, b"Gecko"), 4.0),
        ("request, 9 fields, the same as before", request(REQUEST_9), 0),
        ("request, 9 fields, target never seen", many_targets(), 0),
        ("request with content", request(POST), 0),
        ("response, 6 fields", response(RESPONSE_6, b"nginx"), 3.5),
        ("response, 6 fields, the same as before", response(RESPONSE_6), 0),
        ("response, one chunk", response(CHUNKED), 0),
        ("copy and strip hop-by-hop fields", strip, 0),
        ("write a request head, 9 fields", lambda: writer.request_head("GET", b"/users/42", parsed.fields), 0),
        ("write a response head, 9 fields", lambda: writer.response_head(200, b"OK", parsed.fields), 0),
    ]
    for (label, _, target), cost in zip(cases, smallest([action for _, action, _ in cases]), strict=True):
        print(f"{label:40s} {cost:7.2f} µs" + (f"   target {target} µs" if target else ""))


if __name__ == "__main__":
    main()
