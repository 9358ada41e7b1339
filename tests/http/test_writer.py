import pytest

from gateway.http import writer
from gateway.http.headers import Headers

FIELDS = [(b"Host", b"a.example"), (b"X", b"")]


def test_a_request_head():
    assert writer.request_head("GET", b"/a?b", FIELDS) == b"GET /a?b HTTP/1.1\r\nHost: a.example\r\nX: \r\n\r\n"
    assert writer.request_head("GET", b"/", [], b"Via: 1.1 g\r\n") == b"GET / HTTP/1.1\r\nVia: 1.1 g\r\n\r\n"
    assert writer.request_head("FOO", b"/", []) == b"FOO / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("method", ["", "GET /", "GET\r\n", "GÉT"])
def test_a_method_that_would_break_the_request_line_is_refused(method):
    with pytest.raises(ValueError, match="no method"):
        writer.request_head(method, b"/", [])


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (200, b"", b"HTTP/1.1 200 OK"),
        (200, b"OK", b"HTTP/1.1 200 OK"),
        (200, b"Fine", b"HTTP/1.1 200 Fine"),
        (299, b"", b"HTTP/1.1 299 "),
        (299, b"Odd", b"HTTP/1.1 299 Odd"),
        (404, b"No\r\nSet-Cookie: a=b", b"HTTP/1.1 404 "),
    ],
)
def test_a_response_head(status, reason, line):
    assert writer.response_head(status, reason, [(b"X", b"y")], b"Via: g\r\n") == line + b"\r\nVia: g\r\nX: y\r\n\r\n"
    assert writer.response_head(status, reason, []) == line + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/a", "", b"/a"),
        ("/a%20b", "c=%20|", b"/a%20b?c=%20|"),
        ("/a b", "c d", b"/a%20b?c%20d"),
        ("/é#", "ü#", b"/%C3%A9%23?%C3%BC%23"),
        ("/a\r\nX: y", "", b"/a%0D%0AX:%20y"),
        ("/a?b", "c", b"/a?b?c"),
        ("*", "", b"*"),
    ],
)
def test_a_target_cannot_leave_the_request_line(path, query, target):
    assert writer.origin_form(path, query) == target


def headers(*values: str) -> Headers:
    return Headers.of([("X", "y"), *(("Content-Length", value) for value in values)])


@pytest.mark.parametrize(
    ("declared", "length", "chunked", "line", "left"),
    [
        (["5"], 5, False, b"", ["5"]),
        (["5"], 6, False, b"Content-Length: 6\r\n", []),
        (["5", "5"], 5, False, b"Content-Length: 5\r\n", []),
        (["05"], 5, False, b"Content-Length: 5\r\n", []),
        ([], 0, False, b"Content-Length: 0\r\n", []),
        (["5"], None, True, b"Transfer-Encoding: chunked\r\n", []),
        (["5"], None, False, b"", []),
        ([], None, False, b"", []),
    ],
)
def test_fields_are_made_to_agree_with_the_content(declared, length, chunked, line, left):
    fields = headers(*declared)
    fields.add("Transfer-Encoding", "gzip")
    assert writer.framing(fields, length, chunked) == line
    assert fields.get_all("content-length") == left
    assert "transfer-encoding" not in fields


def test_chunks():
    assert writer.chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert writer.chunk(b"") == b""  # an empty chunk would end the message
    assert writer.last_chunk() == writer.last_chunk(Headers()) == b"0\r\n\r\n"
    assert writer.last_chunk(Headers.of([("A", "b"), ("C", "")])) == b"0\r\nA: b\r\nC: \r\n\r\n"
