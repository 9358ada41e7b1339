"""The chunked coding (RFC 9112, section 7.1) and trailers (RFC 9110, section 6.5)."""

from tests.wire.corpus import Case, Request, accepted, refused, unfinished

START = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"


def _bad(name: str, chunks: bytes, why: str = "", *, status: int = 400, code: str = "bad_chunk") -> Case:
    return refused(name, START + chunks, status, code, why)


def _trailer(name: str, lines: bytes, why: str = "", *, status: int = 400, code: str = "bad_trailer") -> Case:
    return refused(name, START + b"5\r\nhello\r\n0\r\n" + lines + b"\r\n\r\n", status, code, why)


def _good(name: str, chunks: bytes, content: bytes = b"hello", trailers: tuple[tuple[str, str], ...] = (), why: str = "") -> Case:
    return accepted(
        name, START + chunks + NEXT, Request("POST", content=content, trailers=trailers), Request(path="/next"), why=why
    )  # fmt: skip


CASES = [
    _good("chunk_two", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    _good("chunk_none", b"0\r\n\r\n", b""),
    _good("chunk_upper_and_lower_case", b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    _good("chunk_leading_zeros", b"0005\r\nhello\r\n0000\r\n\r\n"),
    _good("chunk_extension", b"5;a=b;c\r\nhello\r\n0;last\r\n\r\n"),
    _good("chunk_extension_quoted", b'5;a="b;c\\"\t "\r\nhello\r\n0\r\n\r\n'),
    _good("chunk_with_line_ends", b"6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
    _good("trailer", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n", trailers=(("X-Sum", "1"), ("X-Sum", "2"))),
    _good("trailer_spaces", b"5\r\nhello\r\n0\r\nX-Sum:  1 \r\n\r\n", trailers=(("X-Sum", "1"),)),
    _bad("chunk_size_prefixed", b"0x5\r\nhello\r\n0\r\n\r\n", "zero for whoever stops at the x"),
    _bad("chunk_size_plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_minus_zero", b"-0\r\n\r\n"),
    _bad("chunk_size_underscore", b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    _bad("chunk_size_empty", b"\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_not_hexadecimal", b"g\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_fraction", b"5.0\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_space_before", b" 5\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_space_after", b"5 \r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_tab_after", b"5\t\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_vertical_tab", b"5\x0b\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_nul", b"5\0\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_two_numbers", b"5 5\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_above_63_bits", b"8000000000000000\r\n", "negative when signed"),
    _bad("chunk_size_all_ones", b"FFFFFFFFFFFFFFFF\r\n"),
    _bad("chunk_size_above_64_bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n", "five, when it overflows"),
    _bad("chunk_size_many_zeros", b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_bare_lf", b"5\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_cr_cr_lf", b"5\r\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_bare_cr", b"5\rhello\r\n0\r\n\r\n"),
    _bad("chunk_size_unicode_digit", "٥\r\nhello\r\n0\r\n\r\n".encode()),
    _bad("chunk_too_long_for_size", b"4\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_too_short_for_size", b"6\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_without_line_end", b"5\r\nhello0\r\n\r\n"),
    _bad("chunk_ends_with_lf", b"5\r\nhello\n0\r\n\r\n"),
    _bad("chunk_ends_with_cr", b"5\r\nhello\r0\r\n\r\n"),
    _bad("chunk_ends_with_other_octets", b"5\r\nhelloXX0\r\n\r\n", "two octets that are skipped unread hide a request"),
    _bad("chunk_ends_with_two_lines", b"5\r\nhello\r\n\r\n0\r\n\r\n"),
    _bad("chunk_last_bare_lf", b"5\r\nhello\r\n0\n\n"),
    _bad("chunk_extension_bare_lf", b"5;a\nhello\r\n0\r\n\r\n", "ends the line for some: TERM.EXT"),
    _bad("chunk_extension_bare_cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_extension_quoted_line_end", b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n'),
    _bad("chunk_extension_unterminated", b'5;a="b\r\nhello\r\n0\r\n\r\n'),
    _bad("chunk_extension_nul", b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_extension_without_name", b"5;\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_extension_value_without_name", b"5;=b\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_extension_without_value", b"5;a=\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_extension_space_before", b"5 ;a=b\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_extension_space_after", b"5; a=b\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_extension_without_semicolon", b"5a=b\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_extension_too_long", b"5;a=" + b"b" * 1024 + b"\r\nhello\r\n0\r\n\r\n"),
    _bad("chunk_size_line_without_end", b"5;a=" + b"b" * 2000),
    _bad("chunk_extensions_too_many", (b"1;a=" + b"b" * 1000 + b"\r\nx\r\n") * 20 + b"0\r\n\r\n", "work and octets without content"),
    _trailer("trailer_content_length", b"Content-Length: 5", "merged into the head by some servers"),
    _trailer("trailer_transfer_encoding", b"Transfer-Encoding: chunked"),
    _trailer("trailer_host", b"Host: b.example"),
    _trailer("trailer_authorization", b"Authorization: Bearer x"),
    _trailer("trailer_cookie", b"Cookie: admin=1"),
    _trailer("trailer_connection", b"Connection: close"),
    _trailer("trailer_forwarded", b"X-Forwarded-For: 127.0.0.1"),
    _trailer("trailer_content_type", b"Content-Type: text/html"),
    _trailer("trailer_trailer", b"Trailer: X"),
    _trailer("trailer_in_other_case", b"cOnTeNt-LeNgTh: 5"),
    _trailer("trailer_underscore", b"Content_Length: 5"),
    _trailer("trailer_behind_good_one", b"X-Sum: 1\r\nHost: b.example"),
    _trailer("trailer_space_before_colon", b"X-Sum : 1"),
    _trailer("trailer_folded", b"X-Sum: 1\r\n 2"),
    _trailer("trailer_space_first", b" X-Sum: 1"),
    _trailer("trailer_without_colon", b"X-Sum"),
    _trailer("trailer_request_line", b"GET /admin HTTP/1.1", "taken for the next request where trailers are not read"),
    _trailer("trailer_nul", b"X-Sum: \0"),
    _trailer("trailer_bare_lf", b"X-Sum: 1\nX: y"),
    _trailer("trailer_bare_cr", b"X-Sum: 1\rX: y"),
    _trailer("trailer_too_many", b"X: y\r\n" * 64 + b"X: y", status=431, code="trailers_too_large"),
    _trailer("trailer_too_large", b"X: " + b"y" * 8192, status=431, code="trailers_too_large"),
    unfinished("chunk_cut_in_size", START + b"5"),
    unfinished("chunk_cut_in_data", START + b"5\r\nhel"),
    unfinished("chunk_cut_in_line_end", START + b"5\r\nhello\r"),
    unfinished("chunk_cut_before_trailers", START + b"5\r\nhello\r\n0\r\n"),
    unfinished("chunk_cut_in_trailers", START + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n"),
    unfinished("chunk_cut_in_last_line_end", START + b"5\r\nhello\r\n0\r\n\r"),
]
