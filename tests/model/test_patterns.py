import pytest

from gateway.model.patterns import (
    check_host,
    check_network,
    check_pattern,
    check_value,
    compile_networks,
    compile_path,
    compile_value,
    parse_path,
)


@pytest.mark.parametrize(
    "text", ["/", "=/", "/users", "/users/{id}", "/a/{b}/{rest...}", "~^/v[0-9]+/", "/caf%C3%A9", "/a;b=1/c,d", "/{_x1}", "/a\\b"]
)
def test_accepts_a_good_path_pattern(text):
    assert check_pattern(text) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "begins with /"),
        ("users", "begins with /"),
        ("=users", "begins with /"),
        ("/a?b=1", "query"),
        ("/a#b", "#"),
        ("/a b", "spaces"),
        ("/a/../b", ".."),
        ("/a/./b", ".."),
        ("/a/%2e%2E/b", ".."),
        ("/%zz", "escape"),
        ("/%00", "%00"),
        ("/a{b}", "whole segment"),
        ("/{}", "whole segment"),
        ("/{a b}", "spaces"),
        ("/a}", "whole segment"),
        ("/{a...}/b", "last"),
        ("/{a}/{a}", "twice"),
        ("/{a}/{a...}", "twice"),
        ("=/{a}", "leave the = out"),
        ("~(", "regular expression"),
        ("~(a+)+", "repeat"),
    ],
)
def test_says_what_is_wrong_with_a_path_pattern(text, word):
    assert word in check_pattern(text)


@pytest.mark.parametrize(
    ("text", "names"), [("/a", set()), ("/{a}/{b...}", {"a", "b"}), ("~^/(?P<x>.)/(.)", {"x"}), ("/users/{id}/{x}", {"id", "x"})]
)
def test_knows_the_names_of_its_captures(text, names):
    assert parse_path(text).names() == names


@pytest.mark.parametrize(
    ("text", "path", "fits"),
    [
        ("/users", "/users/42", True),
        ("/users", "/usersmith", False),
        ("/", "/anything", True),
        ("/", "*", True),
        ("=/users", "/users", True),
        ("=/users", "/users/42", False),
        ("/users/{id}", "/users/42", True),
        ("/users/{id}", "/users/", False),
        ("~^/v[0-9]+", "/v2/x", True),
        ("~^/v[0-9]+", "/x/v2", False),
    ],
)
def test_a_compiled_path_says_whether_a_path_fits(text, path, fits):
    assert compile_path(text)(path) is fits
    assert (parse_path(text).captured(path) is not None) is fits


@pytest.mark.parametrize(
    "text", ["example.com", "*.example.com", "localhost", "a-b.c_d.test", "192.0.2.1", "[::1]", "xn--mller-kva.de", "EXAMPLE.com"]
)
def test_accepts_a_good_host(text):
    assert check_host(text) is None


@pytest.mark.parametrize(
    "text", ["", "*", "a.*.com", "*a.com", "a..b", "http://a.com", "a.com:80", "a.com/x", "[::1", "[::g]", "-a.com", "müller.de", "a b"]
)
def test_refuses_a_bad_host(text):
    assert check_host(text)


@pytest.mark.parametrize(
    ("text", "good"), [("10.0.0.0/8", True), ("::/0", True), ("10.0.0.1", True), ("10.0.0.1/8", False), ("ten", False), ("", False)]
)
def test_checks_networks(text, good):
    assert (check_network(text) is None) is good


def test_a_client_is_in_a_network_whatever_the_family():
    inside = compile_networks(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])
    assert [address for address in ("10.1.2.3", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1") if not inside(address)] == []
    assert [address for address in ("11.0.0.0", "192.0.2.2", "2001:db9::", "::1", "", "unix:", "10.0.0") if inside(address)] == []
    assert not compile_networks([])("10.0.0.1")


@pytest.mark.parametrize(
    ("text", "value", "fits"),
    [("a", "a", True), ("a", "ab", False), ("", "", True), ("", "x", True), ("~b", "abc", True), ("~^b", "abc", False)],
)
def test_a_compiled_value_says_whether_a_value_fits(text, value, fits):
    assert compile_value(text)(value) is fits


def test_checks_values():
    assert check_value("anything (") is None
    assert check_value("~(")
