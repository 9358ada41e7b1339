"""Host (RFC 9112, section 3.2): exactly one, and a host."""

from tests.wire.corpus import Case, Request, accepted, refused


def _bad(name: str, value: bytes, why: str = "") -> Case:
    return refused(name, b"GET / HTTP/1.1\r\nHost:" + value + b"\r\n\r\n", 400, "bad_host", why)


def _good(name: str, value: bytes, host: str, why: str = "") -> Case:
    return accepted(name, b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n", Request(host=host), why=why)


CASES = [
    _good("host_with_port", b"a.example:8000", "a.example"),
    _good("host_empty_port", b"a.example:", "a.example", "RFC 3986 allows it"),
    _good("host_upper_case", b"A.EXAMPLE", "a.example"),
    _good("host_final_dot", b"a.example.", "a.example", "the same name, so the same routes"),
    _good("host_underscore", b"my_service", "my_service", "not a host name, but frequent in containers"),
    _good("host_ipv4", b"127.0.0.1:80", "127.0.0.1"),
    _good("host_ipv6", b"[::1]:8000", "[::1]"),
    _good("host_ipv6_long", b"[0:0:0:0:0:0:0:1]", "[::1]"),
    _good("host_spaces_around", b" \t a.example \t ", "a.example"),
    accepted("host_absent_http10", b"GET / HTTP/1.0\r\n\r\n", Request(host="", keep_alive=False)),
    refused("host_absent", b"GET / HTTP/1.1\r\n\r\n", 400, "bad_host"),
    refused("host_absent_absolute", b"GET http://a.example/ HTTP/1.1\r\n\r\n", 400, "bad_host"),
    refused("host_twice", b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", 400, "repeated_header", "first or last?"),
    refused("host_twice_the_same", b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", 400, "repeated_header"),
    refused("host_twice_in_other_case", b"GET / HTTP/1.1\r\nHost: a.example\r\nhOST: b.example\r\n\r\n", 400, "repeated_header"),
    refused("host_twice_http10", b"GET / HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n", 400, "repeated_header"),
    refused("host_with_underscore_twin", b"GET / HTTP/1.1\r\nHost: a.example\r\nX_Forwarded_Host: b\r\n\r\n", 400, "bad_header"),
    _bad("host_empty", b""),
    _bad("host_spaces_only", b"  "),
    _bad("host_list", b" a.example, b.example"),
    _bad("host_with_path", b" a.example/b"),
    _bad("host_with_scheme", b" http://a.example"),
    _bad("host_with_query", b" a.example?b"),
    _bad("host_with_fragment", b" a.example#b"),
    _bad("host_with_user", b" u@a.example"),
    _bad("host_with_password", b" u:p@a.example:80"),
    _bad("host_with_space", b" a.example b.example"),
    _bad("host_with_tab", b" a.example\tb.example"),
    _bad("host_with_backslash", b" a.example\\b"),
    _bad("host_with_semicolon", b" a.example;b"),
    _bad("host_quoted", b' "a.example"'),
    _bad("host_percent_encoded", b" a%2eexample", "names that only some servers decode"),
    _bad("host_non_ascii", b" \xc3\xa9.example"),
    _bad("host_wildcard", b" *"),
    _bad("host_first_dot", b" .example"),
    _bad("host_two_dots", b" a..example"),
    _bad("host_first_hyphen", b" -a.example"),
    _bad("host_too_long", b" " + b"a" * 256),
    _bad("host_port_only", b" :80"),
    _bad("host_port_not_a_number", b" a.example:http"),
    _bad("host_port_negative", b" a.example:-1"),
    _bad("host_port_too_large", b" a.example:65536"),
    _bad("host_port_with_space", b" a.example: 80"),
    _bad("host_two_ports", b" a.example:80:81"),
    _bad("host_ipv6_without_brackets", b" ::1"),
    _bad("host_ipv6_open", b" [::1"),
    _bad("host_ipv6_not_an_address", b" [a.example]"),
    _bad("host_ipv6_zone", b" [fe80::1%25eth0]"),
    _bad("host_ipv6_and_name", b" [::1]a.example"),
    _bad("host_ipv6_second_bracket", b" [::1]]"),
    _bad("host_template_injection", b" ${jndi:ldap://x}"),
]
