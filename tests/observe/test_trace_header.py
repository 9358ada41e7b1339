import pytest

from gateway.observe.trace_header import sign, verify

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("method", "path"),
    [("*", "*"), ("GET", "*"), ("*", "/users/1"), ("GET", "/users/1")],
)
def test_accepts_what_was_signed_for_this_request(method, path):
    value = sign("secret", NOW + 60, method, path).encode()
    assert verify("secret", value, "GET", "/users/1", NOW)


def test_a_path_may_hold_the_separator():
    assert verify("secret", sign("secret", NOW + 60, "*", "/a;b;c").encode(), "GET", "/a;b;c", NOW)


@pytest.mark.parametrize(
    ("secret", "expires", "method", "path"),
    [
        ("other", 60, "*", "*"),
        ("secret", -1, "*", "*"),
        ("secret", 86400 * 2, "*", "*"),
        ("secret", 60, "POST", "*"),
        ("secret", 60, "*", "/users/2"),
        ("secret", 60, "*", "/users"),
    ],
)
def test_refuses_other_keys_times_methods_and_paths(secret, expires, method, path):
    assert not verify("secret", sign(secret, NOW + expires, method, path).encode(), "GET", "/users/1", NOW)


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: b"0" + v[1:] if v[:1] != b"0" else b"1" + v[1:], lambda v: v.replace(b";", b";9", 1)]
)
def test_refuses_what_was_tampered_with(change):
    value = sign("secret", NOW + 60).encode()
    assert not verify("secret", change(value), "GET", "/", NOW)


@pytest.mark.parametrize("value", [b"", b";", b";;;", b"x", b"\xff;1;*;*", b"a;b;c;d", b";;;;;;", b"0" * 64])
def test_refuses_nonsense(value):
    assert not verify("secret", value, "GET", "/", NOW)


def test_the_time_is_now_unless_given():
    import time

    assert verify("secret", sign("secret", time.time() + 60).encode(), "GET", "/")
