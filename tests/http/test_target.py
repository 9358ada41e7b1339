import pytest

from gateway.http.errors import ProtocolError
from gateway.http.target import normalise_path, parse_authority, remove_dot_segments


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/", "/"),
        ("/a/b.c/~d", "/a/b.c/~d"),
        ("/a/../b", "/b"),
        ("/..", "/"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a/b/../../../c/", "/c/"),
        ("/a//../b", "/a/b"),
        ("/.", "/"),
        ("/...", "/..."),
        ("/a/.b/c..", "/a/.b/c.."),
        ("/%61%2E%2e/x", "/a../x"),
        ("/%e4%bd%a0", "/%E4%BD%A0"),
        ("/a%2Fb%5cc%3fd%23", "/a%2Fb%5Cc%3Fd%23"),
        ("/a b", "/a%20b"),
        ("/é", "/%E9"),
    ],
)
def test_a_path_has_one_spelling(path, normal):
    assert normalise_path(path) == normal
    assert normalise_path(normal) == normal


@pytest.mark.parametrize("path", ["/%", "/%0", "/%g0", "/%\u0660\u0660", "/a%00", "/a\\b", "/..%2f", "/%2e%2e%5c", "/..;a/b", "/.;"])
def test_a_path_that_servers_read_differently_is_refused(path):
    with pytest.raises(ProtocolError):
        normalise_path(path)


@pytest.mark.parametrize(
    ("path", "resolved"),
    [("/a/b/c/./../../g", "/a/g"), ("/mid/content=5/../6", "/mid/6"), ("/../g", "/g"), ("/a/b/.", "/a/b/"), ("/a//b", "/a//b")],
)
def test_dot_segments_are_resolved_as_rfc_3986_says(path, resolved):
    assert remove_dot_segments(path) == resolved


@pytest.mark.parametrize(
    ("octets", "host", "port"),
    [
        ("A.example.:80", "a.example", 80),
        ("[2001:DB8:0::1]", "[2001:db8::1]", None),
        ("[::ffff:1.2.3.4]:0", "[::ffff:102:304]", 0),
        ("a:", "a", None),
    ],
)
def test_an_authority_is_a_name_and_perhaps_a_port(octets, host, port):
    assert parse_authority(octets) == (host, port)
