import pytest
from gateway_transform.templates import compile_template, safe
from hypothesis import given
from hypothesis import strategies as st

from gateway.api import Consumer, Headers, Response
from gateway.testing import make_exchange

EXCHANGE = make_exchange(
    "PUT", "/users/7?name=J%C3%BCrgen+K&empty=&a%20b=c", {"X-One": "1", "X-Many": "a"}, client="192.0.2.7", host="api.example.com",
    scheme="https", consumer=Consumer("alice", metadata={"plan": "gold"}), captures={"user": "7", "id": "mine", "tail": "a/b\r\nX: y"},
    response=Response(200, [("X-Took", "3ms")]),
)  # fmt: skip
EXCHANGE.credential = "laptop"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{user}", b"7"),
        ("u={user}.", b"u=7."),
        ("{capture:id}", b"mine"),
        ("{id}", b"0123456789abcdef"),
        ("{header:x-one}", b"1"),
        ("{response:X-Took}", b"3ms"),
        ("{query:name}", b"J%C3%BCrgen K"),
        ("{query:a b}", b"c"),
        ("{consumer}/{credential}/{metadata:plan}", b"alice/laptop/gold"),
        ("{client} {method} {scheme} {host} {route}", b"192.0.2.7 PUT https api.example.com test"),
        ("{tail}", b"a/b%0D%0AX: y"),
        ("{{user}} {user}", b"{user} 7"),
        ("a {nobody} b {user}", b"a  b 7"),
        ("a {nobody} b {query:empty}{header:none}{metadata:none}", b""),
    ],
)
def test_fills_in(text, filled):
    assert compile_template(text)(EXCHANGE) == filled


def test_knows_nothing_of_an_exchange_without_a_caller():
    exchange = make_exchange()
    exchange.route = None
    for text in ("{consumer}", "{metadata:plan}", "{response:X}", "{route}", "{credential}"):
        assert compile_template(text)(exchange) == b""


@pytest.mark.parametrize(("text", "octets"), [("", b""), ("plain", b"plain"), ("{{}}", b"{}"), ("caf\xe9", b"caf\xe9")])
def test_a_text_without_placeholders_is_its_octets(text, octets):
    assert compile_template(text) == octets


@pytest.mark.parametrize("text", ["{", "a}b", "{a b}", "{colour:red}", "{}", "{header:}", "{{{"])
def test_refuses_what_is_no_template(text):
    with pytest.raises(ValueError):
        compile_template(text)


@given(st.text())
def test_any_text_becomes_a_header_value(text):
    Headers.prepare("X", safe(text).decode("ascii"))
