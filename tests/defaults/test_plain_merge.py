import pytest

from gateway.api import PartResult, Reject, Response
from gateway.defaults.plain_merge import PlainMerge
from gateway.testing import make_exchange, make_plugin


def part(name, content=b"{}", kind="application/json", required=False, error="", status=200):
    return PartResult(name, required, Response(status, [("Content-Type", kind)] if kind else ()), content, error)


def merged(*parts):
    return make_plugin(PlainMerge).aggregate(make_exchange(), parts)


def test_puts_parts_side_by_side_under_their_names():
    response = merged(part("user", b'{"id": 7}'), part("orders", b"[1, 2]"), part("empty", b""), part("note", "é".encode(), "text/plain"))
    assert response.status == 200
    assert response.headers.get("Content-Type") == "application/json"
    assert response.body == '{"user":{"id": 7},"orders":[1, 2],"empty":null,"note":"é"}'.encode()


def test_numbers_keep_every_digit():
    assert merged(part("big", b"12345678901234567890123456789.10")).body == b'{"big":12345678901234567890123456789.10}'


@pytest.mark.parametrize(
    ("kind", "good"), [("application/hal+json; charset=utf-8", True), ("", True), ("TEXT/html", True), ("image/png", False)]
)
def test_goes_by_the_content_type(kind, good):
    response = merged(part("a", b"1", kind), part("b"))
    assert (response.headers.get("X-Gateway-Partial") is None) is good
    assert (b'"a"' in response.body) is good


def test_leaves_out_failed_parts():
    assert merged(part("a", b"1"), part("b", b"2", error="status_500", status=500)).body == b'{"a":1}'


@pytest.mark.parametrize(("content", "kind"), [(b"{", "application/json"), (b"\xff", "text/plain"), (b"GIF", "image/gif")])
def test_content_that_is_no_json_counts_as_failed(content, kind):
    response = merged(part("bad", content, kind), part("good", b"1"))
    assert (response.body, response.headers.get("X-Gateway-Partial")) == (b'{"good":1}', "bad")
    refused = merged(part("bad", content, kind, required=True), part("good", b"1"))
    assert isinstance(refused, Reject)
    assert (refused.status, refused.code) == (502, "part_unusable")


def test_without_any_answer_there_is_nothing_to_merge():
    refused = merged(part("a", error="timeout"), part("b", error="connect_failure"))
    assert (refused.status, refused.code) == (502, "part_failed")
