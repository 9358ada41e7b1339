"""Request targets (RFC 9112, section 3.2) and paths that servers read differently (RFC 3986, section 6)."""

from tests.wire.corpus import Case, Request, accepted, refused

FIELDS = b"Host: a.example\r\n\r\n"


def _bad(name: str, target: bytes, why: str = "", *, method: bytes = b"GET", code: str = "bad_target") -> Case:
    return refused(name, method + b" " + target + b" HTTP/1.1\r\n" + FIELDS, 400, code, why)


def _good(name: str, target: bytes, path: str, query: str = "", why: str = "") -> Case:
    return accepted(name, b"GET " + target + b" HTTP/1.1\r\n" + FIELDS, Request(path=path, query=query), why=why)


CASES = [
    _good("target_path_and_query", b"/users/42?fields=name&x=%20", "/users/42", "fields=name&x=%20"),
    _good("target_empty_query", b"/a?", "/a"),
    _good("target_question_marks", b"/a?b?c", "/a", "b?c"),
    _good("target_unreserved_decoded", b"/%7Euser/%41%2dz", "/~user/A-z"),
    _good("target_escapes_in_upper_case", b"/caf%c3%a9", "/caf%C3%A9"),
    _good("target_encoded_slash_stays", b"/a%2fb", "/a%2Fb", why="it separates nothing, and a rule for /a does not match it"),
    _good("target_encoded_percent_stays", b"/a%252fb", "/a%252fb", why="decoding once must not make something to decode again"),
    _good("target_encoded_crlf_stays", b"/a%0d%0ab", "/a%0D%0Ab"),
    _good("target_dot_segments", b"/a/./b/../c", "/a/c"),
    _good("target_dots_above_root", b"/../../etc/passwd", "/etc/passwd"),
    _good("target_encoded_dots", b"/a/%2e%2E/b", "/b"),
    _good("target_dots_at_end", b"/a/b/..", "/a/"),
    _good("target_name_with_dots", b"/.well-known/a..b/...", "/.well-known/a..b/..."),
    _good("target_empty_segments_stay", b"//a///b", "//a///b"),
    _good("target_stray_characters_escaped", b'/a"<>[]^`{|}', "/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
    _good("target_query_as_sent", b'/?a=%zz&b="<\\>', "/", 'a=%zz&b="<\\>', why="its syntax is the application's"),
    _good("target_path_parameters", b"/a;v=1/b;x", "/a;v=1/b;x"),
    _good("target_absolute", b"http://a.example/x?y", "/x", "y"),
    _good("target_absolute_without_path", b"http://a.example", "/"),
    _good("target_absolute_query_only", b"http://a.example?q", "/", "q"),
    _good("target_absolute_default_port", b"http://a.example:80/", "/"),
    _good("target_absolute_case", b"HTTP://A.Example/", "/"),
    accepted("target_asterisk", b"OPTIONS * HTTP/1.1\r\n" + FIELDS, Request("OPTIONS", "*")),
    accepted("target_absolute_asterisk", b"OPTIONS http://a.example HTTP/1.1\r\n" + FIELDS, Request("OPTIONS", "*")),
    accepted(
        "target_absolute_http10_without_host", b"GET http://a.example/ HTTP/1.0\r\n\r\n", Request(keep_alive=False),
    ),
    accepted(
        "target_connect", b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n\x16\x03\x01",
        Request("CONNECT", "a.example:443"), leftover=b"\x16\x03\x01",
    ),
    accepted(
        "target_connect_host_without_port", b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Request("CONNECT", "a.example:443"),
    ),
    _bad("target_fragment", b"/a#b", "dropped by some servers, part of the path for others"),
    _bad("target_fragment_in_query", b"/a?b#c"),
    _bad("target_fragment_absolute", b"http://a.example/#x"),
    _bad("target_relative", b"users"),
    _bad("target_query_only", b"?a=b"),
    _bad("target_backslash", b"/a\\b", "a separator on Windows"),
    _bad("target_backslash_first", b"\\a"),
    _bad("target_encoded_nul", b"/a%00b", "the end of a string in C"),
    _bad("target_broken_escape", b"/a%zz"),
    _bad("target_cut_escape", b"/a%4"),
    _bad("target_lone_percent", b"/a%"),
    _bad("target_escape_with_sign", b"/a%+1"),
    _bad("target_dots_behind_encoded_slash", b"/a/..%2fb", "climbs where %2F is decoded before dot segments are removed"),
    _bad("target_dots_between_encoded_slashes", b"/a%2F..%2Fb"),
    _bad("target_dot_behind_encoded_slash", b"/a%2f."),
    _bad("target_dots_behind_encoded_backslash", b"/a/..%5cb"),
    _bad("target_dots_with_parameter", b"/a/..;/b", "climbs in Java servers, which cut parameters off first"),
    _bad("target_encoded_dots_with_parameter", b"/a/%2e%2e;x=1/b"),
    _bad("target_asterisk_get", b"*"),
    _bad("target_asterisk_and_more", b"*/", method=b"OPTIONS"),
    _bad("target_authority_get", b"a.example:80"),
    _bad("target_other_scheme", b"ftp://a.example/"),
    _bad("target_scheme_without_authority", b"http:/a"),
    _bad("target_javascript", b"javascript:alert(1)"),
    _bad("target_empty_authority", b"http:///a", code="bad_host"),
    _bad("target_user_information", b"http://a.example@evil.example/", code="bad_host"),
    _bad("target_authority_backslash", b"http://a.example\\@evil.example/", code="bad_host"),
    _bad("target_authority_bad_port", b"http://a.example:http/", code="bad_host"),
    _bad("target_other_host", b"http://b.example/", "a cache or a rule goes by one, the backend by the other", code="host_mismatch"),
    _bad("target_other_port", b"http://a.example:8080/", code="host_mismatch"),
    _bad("target_https_port", b"https://a.example:80/", "port 443 in Host is not written", code="host_mismatch"),
    _bad("connect_without_port", b"a.example", method=b"CONNECT"),
    _bad("connect_with_path", b"/a", method=b"CONNECT", code="bad_host"),
    _bad("connect_absolute", b"http://a.example/", method=b"CONNECT", code="bad_host"),
    _bad("connect_user_information", b"u@a.example:443", method=b"CONNECT", code="bad_host"),
    _bad("connect_port_too_large", b"a.example:65536", method=b"CONNECT", code="bad_host"),
    _bad("connect_empty_host", b":443", method=b"CONNECT", code="bad_host"),
    _bad("connect_other_host", b"b.example:443", method=b"CONNECT", code="host_mismatch"),
    refused(
        "connect_other_port", b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:444\r\n\r\n", 400, "host_mismatch",
    ),
    refused(
        "connect_with_content", b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nContent-Length: 4\r\n\r\nabcd",
        400, "bad_framing", "are these octets content or tunnel?",
    ),
    refused(
        "connect_chunked", b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400, "bad_framing",
    ),
]  # fmt: skip
