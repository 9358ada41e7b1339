import pytest
from gateway_transform.headers import HeadersPlugin
from pydantic import ValidationError

from gateway.api import Consumer, Response
from gateway.testing import Answer, make_exchange, make_plugin


def request(changes, headers=(), **fields):
    exchange = make_exchange(headers=headers, **fields)
    make_plugin(HeadersPlugin, {"request": changes}).transform_request(exchange)
    return list(exchange.request.headers)


def test_removes_every_field_of_a_name():
    assert request({"remove": ["x-a"]}, [("X-A", "1"), ("X-B", "2"), ("x-a", "3")]) == [("X-B", "2")]


def test_renames_every_field_and_replaces_the_new_name():
    assert request({"rename": {"X-Old": "X-New"}}, [("x-old", "1"), ("X-New", "lie"), ("X-Old", "2")]) == [("X-New", "1"), ("X-New", "2")]
    assert request({"rename": {"X-Old": "X-New"}}, [("X-New", "kept")]) == [("X-New", "kept")]


def test_sets_one_value():
    assert request({"set": {"X-A": "new"}}, [("x-a", "1"), ("x-a", "2")]) == [("X-A", "new")]


def test_adds_beside_what_is_there():
    added = request({"add": {"X-A": ["2", "3"], "X-B": "4"}}, [("X-A", "1")])
    assert added == [("X-A", "1"), ("X-A", "2"), ("X-A", "3"), ("X-B", "4")]


def test_runs_remove_rename_set_add():
    changes = {"add": {"X-B": "added"}, "set": {"X-B": "set"}, "rename": {"X-A": "X-B"}, "remove": ["X-B"]}
    assert request(changes, [("X-A", "a"), ("X-B", "b")]) == [("X-B", "set"), ("X-B", "added")]


def test_fills_in_placeholders():
    changes = {"set": {"X-Who": "{consumer} from {client}"}, "add": {"X-Id": "{query:id}"}}
    assert request(changes, target="/?id=7", consumer=Consumer("alice")) == [("X-Who", "alice from 192.0.2.1"), ("X-Id", "7")]


def test_a_header_about_nobody_is_left_out_and_a_forged_one_removed():
    assert request({"set": {"X-Who": "user {consumer}"}, "add": {"X-Id": "{query:id}"}}, [("x-who", "root")]) == []


def test_changes_responses_and_only_those():
    plugin = make_plugin(HeadersPlugin, {"response": {"remove": ["Server"], "set": {"X-Was": "{response:X-Old} {id}"}}})
    exchange = make_exchange(headers={"Server": "mine"}, response=Response(200, [("Server", "x"), ("X-Old", "1")]))
    plugin.transform_response(exchange)
    assert list(exchange.response.headers) == [("X-Old", "1"), ("X-Was", "1 0123456789abcdef")]
    assert plugin.unused == {"transform_request"}


def test_without_a_response_there_is_nothing_to_change():
    make_plugin(HeadersPlugin, {"response": {"set": {"X": "y"}}}).transform_response(make_exchange())


@pytest.mark.parametrize(
    "changes",
    [
        {"remove": ["Content-Length"]},
        {"set": {"transfer-encoding": "chunked"}},
        {"rename": {"X-A": "Connection"}},
        {"set": {"Host": "x"}},
        {"set": {"a b": "x"}},
        {"set": {"X": "a\r\nY: b"}},
        {"set": {"X": "{consumer}\n"}},
        {"set": {"X": "{"}},
        {"set": {"X": "\u20ac"}},
        {"set": {"X": "{response:Server}"}},
        {"add": {"X": ["fine", "{colour:x}"]}},
        {"append": {}},
    ],
)
def test_refuses_changes_that_cannot_be_made(changes):
    with pytest.raises(ValidationError):
        make_plugin(HeadersPlugin, {"request": changes})


def test_a_response_may_have_its_host_header_changed():
    make_plugin(HeadersPlugin, {"response": {"set": {"Host": "x"}}})


def test_every_setting_is_described():
    for model in (HeadersPlugin.Config, HeadersPlugin.Config.model_fields["request"].annotation):
        assert all(field.description for field in model.model_fields.values())


def test_a_gateway_changes_both_ways(run_gateway, echo):
    echo.answer = lambda request: Answer(200, [("Server", "secret"), ("X-Took", "3")], b"ok")
    config = {
        "request": {"remove": ["User-Agent"], "set": {"X-User": "{id_of}"}},
        "response": {"remove": ["X-Took"], "add": {"X-Took-Ms": "{response:X-Took}", "Vary": "Origin"}},
    }
    gateway = run_gateway(
        routes=[{"name": "users", "match": {"paths": ["/users/{id_of}"]}}], policies=[{"plugin": "headers", "config": config}]
    )
    reply = gateway.get("/users/a%0D%0Ab", {"User-Agent": "curl", "X-User": "root"})
    assert (echo.last.headers.get("X-User"), echo.last.headers.get("User-Agent")) == ("a%0D%0Ab", None)
    assert reply.headers.get("Vary") == "Origin"
    assert reply.headers.get("X-Took") is None
