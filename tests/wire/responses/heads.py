"""Status lines and fields of responses (RFC 9112, section 4)."""

from tests.wire.corpus import Case, Response, bad, good

FIELDS = b"Content-Length: 2\r\n\r\n"
START = b"HTTP/1.1 200 OK\r\n"


def _line(name: str, line: bytes, why: str = "") -> Case:
    return bad(name, line + b"\r\n" + FIELDS + b"ok", "bad_status_line", why)


def _field(name: str, lines: bytes, why: str = "", *, code: str = "bad_header") -> Case:
    return bad(name, START + lines + b"\r\n" + FIELDS + b"ok", code, why)


CASES = [
    good("response_plain", START + FIELDS + b"ok", Response(content=b"ok")),
    good("response_without_reason", b"HTTP/1.1 200 \r\n" + FIELDS + b"ok", Response(content=b"ok", reason=b"")),
    good(
        "response_without_space", b"HTTP/1.1 200\r\n" + FIELDS + b"ok", Response(content=b"ok", reason=b""),
        "frequent, and only one reading is possible",
    ),
    good("response_reason_obs_text", b"HTTP/1.1 200 D\xe9j\xe0 vu\r\n" + FIELDS + b"ok", Response(content=b"ok", reason=b"D\xe9j\xe0 vu")),
    good("response_unassigned_status", b"HTTP/1.1 299 Odd\r\n" + FIELDS + b"ok", Response(299, b"ok", reason=b"Odd")),
    good("response_http10", b"HTTP/1.0 200 OK\r\n" + FIELDS + b"ok", Response(content=b"ok", keep_alive=False)),
    good(
        "response_http10_keep_alive", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + FIELDS + b"ok", Response(content=b"ok"),
    ),
    good("response_close", START + b"Connection: close\r\n" + FIELDS + b"ok", Response(content=b"ok", keep_alive=False)),
    good("response_cookies", START + b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n" + FIELDS + b"ok", Response(content=b"ok")),
    _line("status_http09", b"hello"),
    _line("status_html", b"<html><body>hello</body></html>"),
    _line("status_http2", b"HTTP/2 200 OK"),
    _line("status_http20", b"HTTP/2.0 200 OK"),
    _line("status_http12", b"HTTP/1.2 200 OK"),
    _line("status_lower_case", b"http/1.1 200 OK"),
    _line("status_icy", b"ICY 200 OK"),
    _line("status_two_digits", b"HTTP/1.1 20 OK"),
    _line("status_four_digits", b"HTTP/1.1 2000 OK"),
    _line("status_below_100", b"HTTP/1.1 099 OK"),
    _line("status_600", b"HTTP/1.1 600 OK", "RFC 9110, section 15: no such class"),
    _line("status_letters", b"HTTP/1.1 2OO OK"),
    _line("status_sign", b"HTTP/1.1 +20 OK"),
    _line("status_missing", b"HTTP/1.1 OK"),
    _line("status_two_spaces", b"HTTP/1.1  200 OK"),
    _line("status_tab", b"HTTP/1.1\t200 OK"),
    _line("status_nul_in_reason", b"HTTP/1.1 200 O\0K"),
    _line("status_control_in_reason", b"HTTP/1.1 200 O\x1bK"),
    _line("status_space_first", b" HTTP/1.1 200 OK"),
    _line("status_empty_line_first", b"\r\nHTTP/1.1 200 OK"),
    _line("status_too_long", b"HTTP/1.1 200 " + b"O" * 9000),
    bad("status_bare_lf", b"HTTP/1.1 200 OK\n" + FIELDS + b"ok", "bad_status_line"),
    bad("status_bare_cr", b"HTTP/1.1 200 OK\rX: y\r\n" + FIELDS + b"ok", "bad_status_line"),
    bad("status_nothing", b"", "incomplete_response", closes=True),
    bad("status_cut", b"HTTP/1.1 20", "incomplete_response", closes=True),
    bad("response_head_cut", START + b"Content-Le", "incomplete_response", closes=True),
    _field("response_space_before_colon", b"X-A : b"),
    _field("response_folded", b"X-A: b\r\n c"),
    _field("response_nul", b"X-A: \0"),
    _field("response_control", b"X-A: \x07"),
    _field("response_bare_lf", b"X-A: b\nSet-Cookie: a=b", "response splitting"),
    _field("response_bare_cr", b"X-A: b\rSet-Cookie: a=b"),
    _field("response_without_colon", b"X-A"),
    _field("response_empty_name", b": b"),
    _field("response_location_twice", b"Location: /a\r\nLocation: /b", code="repeated_header"),
    _field("response_content_type_twice", b"Content-Type: text/plain\r\nContent-Type: text/html", code="repeated_header"),
    _field("response_connection_names_length", b"Connection: Content-Length", code="bad_connection"),
    _field("response_too_many_fields", b"\r\n".join([b"X: y"] * 100), code="too_many_headers"),
    _field("response_too_large", b"X: " + b"y" * 32768, code="header_too_large"),
    bad("response_ends_with_lf", START + b"Content-Length: 2\n\nok", "bad_header"),
]  # fmt: skip
