"""The request line (RFC 9112, section 3), and what comes instead of one."""

from tests.wire.corpus import Case, Request, accepted, refused, unfinished

FIELDS = b"Host: a.example\r\n\r\n"
LINE = "bad_request_line"


def _bad(name: str, line: bytes, why: str = "") -> Case:
    return refused(name, line + b"\r\n" + FIELDS, 400, LINE, why)


def _method(name: str, method: bytes, why: str = "") -> Case:
    return refused(name, method + b" / HTTP/1.1\r\n" + FIELDS, 501, "method_not_implemented", why)


def _version(name: str, version: bytes, why: str = "") -> Case:
    return refused(name, b"GET / HTTP/" + version + b"\r\n" + FIELDS, 505, "version_not_supported", why)


CASES = [
    accepted("line_plain", b"GET / HTTP/1.1\r\n" + FIELDS),
    accepted("line_one_empty_line_before", b"\r\nGET / HTTP/1.1\r\n" + FIELDS, why="RFC 9112, section 2.2: some clients send one"),
    accepted("line_query_method", b"QUERY /s HTTP/1.1\r\n" + FIELDS, Request("QUERY", "/s")),
    accepted("line_http10", b"GET / HTTP/1.0\r\n" + FIELDS, Request(keep_alive=False)),
    _bad("line_empty_method", b" / HTTP/1.1"),
    _bad("line_space_before_method", b" GET / HTTP/1.1", "taken for a continuation of the line before by lenient parsers"),
    _bad("line_method_not_a_token", b"GE(T / HTTP/1.1"),
    _bad("line_method_with_colon", b"GET: / HTTP/1.1"),
    _bad("line_method_with_control", b"GE\x01T / HTTP/1.1"),
    _bad("line_method_non_ascii", "GÉT / HTTP/1.1".encode()),
    _bad("line_tab_after_method", b"GET\t/ HTTP/1.1"),
    _bad("line_tab_before_version", b"GET /\tHTTP/1.1"),
    _bad("line_vertical_tab", b"GET\x0b/\x0bHTTP/1.1", "RFC 9112 names it among what lenient parsers take for a space"),
    _bad("line_form_feed", b"GET /\x0cHTTP/1.1"),
    _bad("line_two_spaces_after_method", b"GET  / HTTP/1.1"),
    _bad("line_two_spaces_before_version", b"GET /  HTTP/1.1"),
    _bad("line_space_after_version", b"GET / HTTP/1.1 "),
    _bad("line_tab_after_version", b"GET / HTTP/1.1\t"),
    _bad("line_space_in_target", b"GET /a b HTTP/1.1", "which of the words is the version?"),
    _bad("line_second_version", b"GET / HTTP/1.1 HTTP/1.1"),
    _bad("line_no_target", b"GET HTTP/1.1"),
    _bad("line_empty_target", b"GET  HTTP/1.1"),
    _bad("line_no_version", b"GET /", "HTTP/0.9 has no head, so everything behind the line would be content"),
    _bad("line_only_a_method", b"GET"),
    _bad("line_lower_case_version", b"GET / http/1.1"),
    _bad("line_misspelt_version", b"GET / HTP/1.1"),
    _bad("line_version_without_minor", b"GET / HTTP/1"),
    _bad("line_version_two_digits", b"GET / HTTP/1.10"),
    _bad("line_version_leading_zero", b"GET / HTTP/01.1"),
    _bad("line_version_comma", b"GET / HTTP/1,1"),
    _bad("line_version_sign", b"GET / HTTP/+1.1"),
    _bad("line_nul_in_version", b"GET / HTTP/1.1\0"),
    _bad("line_nul_in_target", b"GET /\0 HTTP/1.1"),
    _bad("line_delete_in_target", b"GET /\x7f HTTP/1.1"),
    _bad("line_escape_in_target", b"GET /\x1b[2J HTTP/1.1", "terminal sequences in the access log"),
    _bad("line_utf8_in_target", "GET /é HTTP/1.1".encode()),
    _bad("line_latin1_in_target", b"GET /\xe9 HTTP/1.1"),
    _bad("line_proxy_protocol", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 80", "where no PROXY header is expected"),
    _bad("line_ssh", b"SSH-2.0-OpenSSH_9.2"),
    refused("line_bare_lf", b"GET / HTTP/1.1\nHost: a.example\r\n\r\n", 400, LINE),
    refused("line_bare_cr", b"GET / HTTP/1.1\rHost: a.example\r\n\r\n", 400, LINE),
    refused("line_cr_cr_lf", b"GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n", 400, LINE),
    refused("line_lf_cr", b"GET / HTTP/1.1\n\rHost: a.example\r\n\r\n", 400, LINE),
    refused("line_lf_first", b"\nGET / HTTP/1.1\r\n" + FIELDS, 400, LINE),
    refused("line_two_empty_lines_first", b"\r\n\r\nGET / HTTP/1.1\r\n" + FIELDS, 400, LINE),
    refused("line_cr_first", b"\rGET / HTTP/1.1\r\n" + FIELDS, 400, LINE),
    refused("line_nul_first", b"\0GET / HTTP/1.1\r\n" + FIELDS, 400, LINE),
    refused("line_tls_hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, LINE, "https spoken to an http listener"),
    refused("line_json", b'{"jsonrpc": "2.0"}', 400, LINE),
    refused("line_response", b"HTTP/1.1 200 OK\r\n\r\n", 400, LINE),
    refused("line_only", b"GET /\r\n", 400, LINE),
    refused("line_too_long", b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + FIELDS, 414, "uri_too_long"),
    refused("line_too_long_without_end", b"GET /" + b"a" * 9000, 414, "uri_too_long"),
    refused("line_method_too_long", b"G" * 9000, 414, "uri_too_long"),
    refused("line_control_before_too_long", b"GET /\x01" + b"a" * 9000, 400, LINE),
    accepted("line_just_not_too_long", b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1\r\n" + FIELDS, Request(path="/" + "a" * (8192 - 14))),
    _method("method_lower_case", b"get", "methods are case-sensitive: rules for GET would not hold"),
    _method("method_mixed_case", b"Get"),
    _method("method_unknown", b"FOO"),
    _method("method_with_digits", b"GET2"),
    _method("method_smuggled_prefix", b"GPOST", "what a desynchronised connection typically shows"),
    _method("method_token_characters", b"!#$%&'*+-.^_`|~"),
    _method("method_rtsp", b"DESCRIBE"),
    _version("version_2", b"2.0"),
    _version("version_09", b"0.9"),
    _version("version_12", b"1.2"),
    _version("version_3", b"3.0"),
    refused("http2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported", "a client with prior knowledge of HTTP/2"),
    unfinished("line_cut_in_method", b"GE"),
    unfinished("line_cut_in_target", b"GET /users"),
    unfinished("line_cut_in_version", b"GET / HTT"),
    unfinished("line_cut_in_line_end", b"GET / HTTP/1.1\r"),
    unfinished("line_without_head_end", b"GET / HTTP/1.1\r\nHost: a.example\r\n"),
]
