"""Where the content of a response ends (RFC 9112, section 6.3), and what comes before and behind it."""

from tests.wire.corpus import Case, Response, bad, good

START = b"HTTP/1.1 200 OK\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


def _framing(name: str, lines: bytes, content: bytes = b"hello", why: str = "", *, code: str = "bad_framing") -> Case:
    return bad(name, START + lines + b"\r\n\r\n" + content, code, why)


def _chunk(name: str, chunks: bytes, why: str = "", *, code: str = "bad_chunk", closes: bool = False) -> Case:
    return bad(name, CHUNKED + chunks, code, why, closes=closes)


CASES = [
    good("response_length_zero", START + b"Content-Length: 0\r\n\r\n", Response()),
    good("response_chunked", CHUNKED + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", Response(content=b"hello", trailers=(("X-Sum", "1"),))),
    good("response_until_close", START + b"\r\nhello", Response(content=b"hello", keep_alive=False), closes=True),
    good("response_until_close_empty", START + b"\r\n", Response(keep_alive=False), closes=True),
    good(
        "response_until_close_http10", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
        Response(content=b"hello", keep_alive=False), closes=True,
    ),
    good("response_head_request", START + b"Content-Length: 5\r\n\r\n", Response(), method="HEAD"),
    good("response_head_request_chunked", START + b"Transfer-Encoding: chunked\r\n\r\n", Response(), method="HEAD"),
    good("response_head_request_without_length", START + b"\r\n", Response(), method="HEAD"),
    good(
        "response_head_request_with_content", START + b"Content-Length: 5\r\n\r\nhello", Response(), "never part of the next response",
        method="HEAD", leftover=b"hello",
    ),
    good("response_204", b"HTTP/1.1 204 No Content\r\n\r\n", Response(204, reason=b"No Content")),
    good("response_204_length_zero", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Response(204, reason=b"No Content")),
    good("response_204_with_content", b"HTTP/1.1 204 No Content\r\n\r\nhello", Response(204, reason=b"No Content"), leftover=b"hello"),
    good("response_304_with_length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Response(304, reason=b"Not Modified")),
    good("response_unasked_octets", START + b"Content-Length: 5\r\n\r\nhello" + START, Response(content=b"hello"), leftover=START),
    good(
        "response_unasked_octets_behind_chunks", CHUNKED + b"0\r\n\r\nhello", Response(), "response queue poisoning: the connection ends",
        leftover=b"hello",
    ),
    good(
        "response_interims",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + START + b"Content-Length: 2\r\n\r\nok",
        Response(content=b"ok", interims=(100, 103)),
    ),
    good(
        "response_interim_length_zero", b"HTTP/1.1 102 Processing\r\nContent-Length: 0\r\n\r\n" + START + b"Content-Length: 2\r\n\r\nok",
        Response(content=b"ok", interims=(102,)),
    ),
    good(
        "response_switching", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi",
        Response(101, keep_alive=False, reason=b"Switching Protocols"), leftover=b"\x81\x02hi",
    ),
    good(
        "response_connect", START + b"Content-Length: 5\r\n\r\nhello", Response(keep_alive=False),
        "RFC 9112, section 6.3: a tunnel follows", method="CONNECT", leftover=b"hello",
    ),
    good(
        "response_connect_refused", b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", Response(403, b"no", reason=b"No"), method="CONNECT",
    ),
    _framing("response_cl_te", b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    _framing("response_te_cl", b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n"),
    _framing("response_cl_cl", b"Content-Length: 5\r\nContent-Length: 6"),
    _framing("response_cl_list", b"Content-Length: 5, 5"),
    _framing("response_cl_plus", b"Content-Length: +5"),
    _framing("response_cl_minus", b"Content-Length: -5"),
    _framing("response_cl_hexadecimal", b"Content-Length: 0x5"),
    _framing("response_cl_leading_zero", b"Content-Length: 05"),
    _framing("response_cl_empty", b"Content-Length:"),
    _framing("response_te_unknown", b"Transfer-Encoding: gzip"),
    _framing("response_te_unknown_then_chunked", b"Transfer-Encoding: gzip, chunked", code="coding_not_implemented"),
    _framing("response_te_not_last", b"Transfer-Encoding: chunked, gzip"),
    _framing("response_te_te", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", code="repeated_header"),
    _framing("response_te_identity", b"Transfer-Encoding: identity"),
    _framing("response_te_space_before_colon", b"Transfer-Encoding : chunked", code="bad_header"),
    bad("response_te_http10", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_framing"),
    bad("response_204_with_length", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "bad_framing"),
    bad("response_204_chunked", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_framing"),
    bad("response_interim_with_length", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello", "bad_framing"),
    bad("response_interim_chunked", b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_framing"),
    bad("response_switching_with_length", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello", "bad_framing"),
    bad("response_switching_to_nothing", b"HTTP/1.1 101 Switching\r\n\r\n", "bad_response", "Upgrade names the protocol"),
    bad("response_interims_without_end", b"HTTP/1.1 100 Continue\r\n\r\n" * 40, "bad_response", after=32),
    bad("response_interim_then_garbage", b"HTTP/1.1 100 Continue\r\n\r\nhello\r\n\r\n", "bad_status_line", after=1),
    bad("response_interim_then_close", b"HTTP/1.1 100 Continue\r\n\r\n", "incomplete_response", after=1, closes=True),
    bad(
        "response_length_cut", START + b"Content-Length: 6\r\n\r\nhello", "incomplete_response", "half a response must not look whole",
        closes=True,
    ),
    bad("response_length_without_content", START + b"Content-Length: 6\r\n\r\n", "incomplete_response", closes=True),
    _chunk("response_chunk_cut", b"5\r\nhel", code="incomplete_response", closes=True),
    _chunk("response_last_chunk_missing", b"5\r\nhello\r\n", code="incomplete_response", closes=True),
    _chunk("response_last_line_missing", b"5\r\nhello\r\n0\r\n", code="incomplete_response", closes=True),
    _chunk("response_chunk_size_word", b"hello\r\n"),
    _chunk("response_chunk_size_minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    _chunk("response_chunk_size_bare_lf", b"5\nhello\r\n0\r\n\r\n"),
    _chunk("response_chunk_size_space", b"5 \r\nhello\r\n0\r\n\r\n"),
    _chunk("response_chunk_too_long", b"4\r\nhello\r\n0\r\n\r\n"),
    _chunk("response_chunk_too_large", b"fffffffffffffffff\r\n"),
    _chunk("response_trailer_length", b"0\r\nContent-Length: 5\r\n\r\n", code="bad_trailer"),
    _chunk("response_trailer_cookie", b"0\r\nSet-Cookie: a=b\r\n\r\n", code="bad_trailer"),
    _chunk("response_trailer_broken", b"0\r\nX-Sum : 1\r\n\r\n", code="bad_trailer"),
]  # fmt: skip
