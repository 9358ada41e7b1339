"""Where content ends (RFC 9112, section 6): every disagreement about it is request smuggling."""

from tests.wire.corpus import Case, Request, accepted, refused, unfinished

START = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def _bad(name: str, fields: bytes, content: bytes = b"hello", why: str = "", *, code: str = "bad_framing") -> Case:
    return refused(name, START + fields + b"\r\n\r\n" + content, 400, code, why)


def _length(name: str, value: bytes, why: str = "", *, code: str = "bad_framing") -> Case:
    return refused(name, START + b"Content-Length:" + value + b"\r\n\r\nhello", 400, code, why)


def _coding(name: str, value: bytes, why: str = "", *, code: str = "bad_framing", status: int = 400) -> Case:
    return refused(name, START + b"Transfer-Encoding:" + value + b"\r\n\r\n" + CHUNKS, status, code, why)


CASES = [
    accepted("length", START + b"Content-Length: 5\r\n\r\nhello", Request("POST", content=b"hello")),
    accepted("length_zero", START + b"Content-Length: 0\r\n\r\n", Request("POST")),
    accepted("length_spaces_around", START + b"Content-Length: \t5 \t\r\n\r\nhello", Request("POST", content=b"hello")),
    accepted("length_get", b"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello", Request(content=b"hello")),
    accepted(
        "length_http10", b"POST / HTTP/1.0\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
        Request("POST", content=b"hello", keep_alive=False),
    ),
    accepted("no_length", START + b"\r\n", Request("POST"), why="a request without either field has no content"),
    accepted("chunked", START + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS, Request("POST", content=b"hello")),
    accepted("chunked_in_other_case", START + b"Transfer-Encoding: CHUNKED \t\r\n\r\n" + CHUNKS, Request("POST", content=b"hello")),
    accepted("pipelined", NEXT * 3, *[Request(path="/next")] * 3),
    accepted(
        "pipelined_behind_content", START + b"Content-Length: 5\r\n\r\nhello" + NEXT,
        Request("POST", content=b"hello"), Request(path="/next"),
    ),
    accepted(
        "pipelined_behind_chunks", START + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS + NEXT,
        Request("POST", content=b"hello"), Request(path="/next"),
    ),
    accepted(
        "empty_line_behind_content", START + b"Content-Length: 5\r\n\r\nhello\r\n" + NEXT,
        Request("POST", content=b"hello"), Request(path="/next"),
    ),
    accepted("content_like_a_request", START + b"Content-Length: 39\r\n\r\n" + NEXT, Request("POST", content=NEXT)),
    accepted("pipelined_many", NEXT * 100, *[Request(path="/next")] * 100),
    accepted("expect", START + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello", Request("POST", content=b"hello", expect=True)),
    accepted("expect_without_content", START + b"Expect: 100-continue\r\n\r\n", Request("POST")),
    accepted(
        "expect_http10", b"POST / HTTP/1.0\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        Request("POST", content=b"hello", keep_alive=False), why="RFC 9110, section 10.1.1: ignored",
    ),
    unfinished("length_too_long", START + b"Content-Length: 6\r\n\r\nhello"),
    refused("content_behind_get", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n{}", 400, "bad_request_line", after=1),
    refused("smuggled_behind_length", START + b"Content-Length: 5\r\n\r\nhello\0", 400, "bad_request_line", after=1),
    refused("empty_lines_behind_content", START + b"Content-Length: 5\r\n\r\nhello\r\n\r\n\r\n" + NEXT, 400, "bad_request_line", after=1),
    _bad("cl_te", b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\nG", "one server goes by the first, one by the second"),
    _bad("te_cl", b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"5c\r\nGPOST / HTTP/1.1\r\n"),
    _bad("cl_te_length_zero", b"Content-Length: 0\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    _bad("cl_te_other_case", b"content-length: 5\r\ntransfer-encoding: Chunked", b"0\r\n\r\nG"),
    refused(
        "cl_te_http10", b"POST / HTTP/1.0\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        400, "bad_framing",
    ),
    refused(
        "te_http10", b"POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS, 400, "bad_framing",
        "HTTP/1.0 servers do not know the coding",
    ),
    refused(
        "te_http10_keep_alive",
        b"POST / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS, 400, "bad_framing",
    ),
    _bad("cl_cl", b"Content-Length: 5\r\nContent-Length: 6"),
    _bad("cl_cl_the_same", b"Content-Length: 5\r\nContent-Length: 5"),
    _bad("cl_cl_other_case", b"Content-Length: 5\r\ncontent-length: 0"),
    _length("length_list", b" 5, 5"),
    _length("length_list_different", b" 5, 6"),
    _length("length_comma", b" 5,"),
    _length("length_plus", b" +5"),
    _length("length_minus", b" -5"),
    _length("length_minus_zero", b" -0"),
    _length("length_hexadecimal", b" 0x5"),
    _length("length_underscore", b" 5_0", "a number in some languages"),
    _length("length_empty", b""),
    _length("length_spaces_only", b"   "),
    _length("length_word", b" five"),
    _length("length_fraction", b" 5.0"),
    _length("length_exponent", b" 5e0"),
    _length("length_space_inside", b" 5 5"),
    _length("length_tab_inside", b" 5\t5"),
    _length("length_semicolon", b" 5;a"),
    _length("length_quoted", b' "5"'),
    _length("length_arabic_digit", " ٥".encode()),
    _length("length_superscript", b" 5\xb2"),
    _length("length_vertical_tab", b"\x0b5", code="bad_header"),
    _length("length_nul", b" 5\0", code="bad_header"),
    _length("length_above_64_bits", b" 18446744073709551621", "five, when it overflows"),
    _length("length_nineteen_digits", b" 9223372036854775808"),
    _length("length_leading_zero", b" 05", "octal for some"),
    _length("length_many_zeros", b" 0000000000000000000000000005"),
    _length("length_space_before_colon_of_next", b" 5\r\nTransfer-Encoding : chunked", code="bad_header"),
    _coding("te_twice_in_one", b" chunked, chunked"),
    _coding("te_te", b" chunked\r\nTransfer-Encoding: chunked", code="repeated_header"),
    _coding("te_te_identity", b" chunked\r\nTransfer-Encoding: identity", code="repeated_header"),
    _coding("te_identity_te", b" identity\r\nTransfer-Encoding: chunked", code="repeated_header"),
    _coding("te_not_last", b" chunked, gzip"),
    _coding("te_unknown_then_chunked", b" gzip, chunked", status=501, code="coding_not_implemented"),
    _coding("te_identity_then_chunked", b" identity, chunked", status=501, code="coding_not_implemented"),
    _coding("te_unknown", b" gzip"),
    _coding("te_identity", b" identity"),
    _coding("te_empty", b""),
    _coding("te_prefix", b" xchunked"),
    _coding("te_suffix", b" chunkedx"),
    _coding("te_cow", b" cow"),
    _coding("te_parameter", b" chunked;q=1"),
    _coding("te_quoted", b' "chunked"'),
    _coding("te_comma_after", b" chunked,"),
    _coding("te_comma_before", b" , chunked"),
    _coding("te_space_inside", b" chu nked"),
    _coding("te_vertical_tab", b" \x0bchunked", code="bad_header"),
    _coding("te_form_feed", b" chunked\x0c", code="bad_header"),
    _coding("te_nul", b" chunked\0", code="bad_header"),
    _coding("te_nbsp", b" chunked\xa0"),
    _coding("te_bare_cr", b" chunked\r", code="bad_header"),
    _coding("te_folded", b"\r\n chunked", code="bad_header"),
    _coding("te_on_second_line", b" x\r\n chunked", code="bad_header"),
    _coding("te_brackets", b" [chunked]"),
    _bad("te_space_before_colon", b"Transfer-Encoding : chunked", CHUNKS, code="bad_header"),
    _bad("te_tab_before_colon", b"Transfer-Encoding\t: chunked", CHUNKS, code="bad_header"),
    _bad("te_space_before_name", b"X: y\r\n Transfer-Encoding: chunked", CHUNKS, code="bad_header"),
    _bad("te_behind_bare_lf", b"X: y\nTransfer-Encoding: chunked", CHUNKS, code="bad_header"),
    unfinished("chunked_without_end", START + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    unfinished("length_without_content", START + b"Content-Length: 5\r\n\r\n"),
    accepted(
        "upgrade", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x05hello",
        Request(upgrade="websocket"), leftover=b"\x81\x05hello",
    ),
    accepted(
        "upgrade_with_content",
        b"POST / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello" + NEXT,
        Request("POST", content=b"hello"), Request(path="/next"),
        why="RFC 9110, section 7.8: the content comes first, so the upgrade is ignored; llhttp would skip the content",
    ),
    accepted(
        "upgrade_chunked",
        b"POST / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS + NEXT,
        Request("POST", content=b"hello"), Request(path="/next"),
    ),
    accepted(
        "upgrade_not_named_in_connection", b"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\r\n" + NEXT,
        Request(), Request(path="/next"),
    ),
    accepted(
        "upgrade_named_but_absent", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\n\r\n" + NEXT,
        Request(), Request(path="/next"),
    ),
    accepted(
        "upgrade_http10", b"GET / HTTP/1.0\r\nHost: a.example\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n" + NEXT,
        Request(), Request(path="/next"), why="RFC 9110, section 7.8: ignored",
    ),
]  # fmt: skip
