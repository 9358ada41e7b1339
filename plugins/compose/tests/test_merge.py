import json

import pytest
from gateway_compose.merge import Merge, accepts_json
from pydantic import ValidationError

from gateway.api import PartResult, Reject, Response
from gateway.testing import Answer, make_exchange, make_plugin


def part(name, value=None, error="", required=False, content=None):
    content = json.dumps(value).encode() if content is None else content
    return PartResult(name, required, None if error else Response(200, [("Content-Type", "application/json")]), content, error)


def merge(answers, accept=None, **config):
    exchange = make_exchange(headers={"Accept": accept} if accept else {})
    return make_plugin(Merge, config).aggregate(exchange, answers)


def merged(answers, **config):
    response = merge(answers, **config)
    assert response.status == 200
    assert response.headers.get("Content-Type") == "application/json"
    return json.loads(response.body)


USER, ORDERS = part("user", {"id": 7, "name": "Ada"}), part("orders", [{"id": 1}, {"id": 2}])


def test_merges_objects_key_by_key_and_puts_others_under_their_names():
    assert merged([USER, ORDERS, part("count", 2), part("more", {"name": "Bob", "age": 9})]) == {
        "id": 7,
        "name": "Bob",
        "orders": [{"id": 1}, {"id": 2}],
        "count": 2,
        "age": 9,
    }


@pytest.mark.parametrize(
    ("shape", "result"),
    [
        ({"target": "data"}, {"a": 1, "b": {"c": 2, "d": 3}}),
        ({"target": "data.b"}, {"c": 2, "d": 3}),
        ({"target": "list.0"}, {"x": 1}),
        ({"target": "data.a"}, {"part": 1}),
        ({"target": "data", "allow": ["b.c"]}, {"b": {"c": 2}}),
        ({"target": "data", "deny": ["b.c"]}, {"a": 1, "b": {"d": 3}}),
        ({"target": "data", "allow": ["b"], "deny": ["b.d"]}, {"b": {"c": 2}}),
        ({"target": "data", "rename": {"a": "z", "b.c": "y"}}, {"z": 1, "b": {"y": 2, "d": 3}}),
        ({"target": "data", "group": "g"}, {"g": {"a": 1, "b": {"c": 2, "d": 3}}}),
        ({"target": "list", "group": "g"}, {"g": [{"x": 1}]}),
        ({"allow": ["data.a", "list"], "rename": {"data.a": "q"}, "group": "g"}, {"g": {"data": {"q": 1}, "list": [{"x": 1}]}}),
    ],
)
def test_shapes_a_part_step_by_step(shape, result):
    answer = {"data": {"a": 1, "b": {"c": 2, "d": 3}}, "list": [{"x": 1}]}
    assert merged([part("part", answer)], parts={"part": shape}) == result


@pytest.mark.parametrize(("rule", "name"), [("last", "Bob"), ("first", "Ada")])
def test_a_conflict_goes_to_the_part_that_the_rule_names(rule, name):
    assert merged([USER, part("more", {"name": "Bob"})], on_conflict=rule)["name"] == name


def test_a_conflict_can_be_an_error():
    refused = merge([USER, part("more", {"name": "Bob"})], on_conflict="error")
    assert isinstance(refused, Reject)
    assert (refused.status, refused.code) == (502, "merge_conflict")
    assert merged([USER, part("more", {"name": "Ada"})], on_conflict="error") == {"id": 7, "name": "Ada"}
    assert merge([part("a", {"x": 1}), part("b", {"x": True})], on_conflict="error").status == 502


def test_objects_under_one_key_can_be_merged_too():
    parts = [part("a", {"o": {"x": 1, "y": {"z": 1}}}), part("b", {"o": {"y": {"w": 2}, "x": 3}})]
    assert merged(parts) == {"o": {"y": {"w": 2}, "x": 3}}
    assert merged(parts, deep=True) == {"o": {"x": 3, "y": {"z": 1, "w": 2}}}


def test_lists_under_one_key_can_be_joined():
    parts = [part("a", {"l": [1]}), part("b", {"l": [2, 3]})]
    assert merged(parts) == {"l": [2, 3]}
    assert merged(parts, append_lists=True) == {"l": [1, 2, 3]}


def test_parts_can_become_one_list():
    assert merged([ORDERS, part("one", {"id": 3}), part("rest", [4])], result="list") == [{"id": 1}, {"id": 2}, {"id": 3}, 4]


def test_objects_too_deep_to_merge_are_a_conflict():
    def nested(depth, value):
        for _ in range(depth):
            value = {"a": value}
        return value

    assert merged([part("a", nested(200, 1)), part("b", nested(200, 2))], deep=True) == nested(200, 2)
    refused = merge([part("a", nested(900, 1)), part("b", nested(900, 2))], deep=True)
    assert (refused.status, refused.code) == (502, "part_unusable")


def test_a_failed_part_is_left_out_or_has_its_default():
    failed = part("orders", error="timeout")
    assert merged([USER, failed]) == {"id": 7, "name": "Ada"}
    assert merged([USER, failed], parts={"orders": {"default": []}}) == {"id": 7, "name": "Ada", "orders": []}
    assert merged([USER, failed], parts={"orders": {"default": None}}) == {"id": 7, "name": "Ada", "orders": None}
    assert merged([USER, failed], parts={"orders": {"default": {"open": 0}}}) == {"id": 7, "name": "Ada", "open": 0}
    assert merged([USER, failed], parts={"orders": {"default": {"open": 0}, "group": "o"}})["o"] == {"open": 0}


def test_a_default_stays_what_it_is():
    plugin = make_plugin(Merge, {"parts": {"a": {"default": {"o": {}}}}, "deep": True})
    for _ in range(2):
        plugin.aggregate(make_exchange(), [part("a", error="timeout"), part("b", {"o": {"x": 1}})])
    response = plugin.aggregate(make_exchange(), [part("a", error="timeout"), part("b", {})])
    assert json.loads(response.body) == {"o": {}}


@pytest.mark.parametrize("shape", [{}, {"target": "data"}])
def test_an_answer_that_cannot_be_used_counts_as_failed(shape):
    content = b"{" if not shape else b'{"other": 1}'
    response = merge([USER, part("bad", content=content)], parts={"bad": {**shape, "default": 0}})
    assert json.loads(response.body) == {"id": 7, "name": "Ada", "bad": 0}
    assert response.headers.get("X-Gateway-Partial") == "bad"
    refused = merge([USER, part("bad", content=content, required=True)], parts={"bad": shape})
    assert (refused.status, refused.code) == (502, "part_unusable")


def test_failed_parts_can_be_listed_with_their_reasons():
    parts = [USER, part("orders", error="status_500"), part("bad", content=b"<html>")]
    assert merged(parts, errors="failed") == {"id": 7, "name": "Ada", "failed": {"orders": "status_500", "bad": "unusable"}}
    assert "failed" not in merged([USER], errors="failed")


def test_without_any_answer_there_is_nothing_to_merge():
    refused = merge([part("a", error="timeout")])
    assert (refused.status, refused.code) == (502, "part_failed")
    assert merged([part("a", error="timeout")], parts={"a": {"default": 1}}) == {"a": 1}


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("text/html, application/*;q=0.5", True),
        ("APPLICATION/JSON", True),
        ("text/html", False),
        ("application/json;q=0, */*", False),
        ("application/json; q=0.0", False),
        ("*/*;q=0", False),
        ("*/*;q=0, application/json", True),
        ("application/json;q=x", True),
    ],
)
def test_a_client_that_accepts_no_json_is_told_so(accept, accepted):
    assert accepts_json(accept) is accepted
    response = merge([USER], accept)
    assert (response.status == 200) is accepted
    assert accepted or (response.status, response.code) == (406, "not_acceptable")


@pytest.mark.parametrize(
    "config",
    [
        {"parts": {"a": {"target": "x..y"}}},
        {"parts": {"a": {"allow": [""]}}},
        {"parts": {"a": {"rename": {"a.": "b"}}}},
        {"parts": {"a": {"group": ""}}},
        {"parts": {"a": {"colour": "red"}}},
        {"on_conflict": "best"},
    ],
)
def test_a_wrong_setting_is_refused(config):
    with pytest.raises(ValidationError):
        make_plugin(Merge, config)


def test_merges_real_backends_and_names_the_missing_one(run_gateway, start_echo):
    users, orders = start_echo(), start_echo()
    users.answer = lambda request: Answer(200, [("Content-Type", "application/json")], b'{"data": {"id": 7, "password": "x"}}')
    orders.answer = lambda request: Answer(200, [("Content-Type", "application/json")], b'[{"id": 1, "total": 9}]')
    shapes = {"user": {"target": "data", "deny": ["password"]}, "orders": {"default": []}}
    route = {
        "name": "profile",
        "match": {"paths": ["/profiles/{id}"]},
        "compose": {
            "parts": [
                {"name": "user", "pool": "users", "path": "/users/{id}"},
                {"name": "orders", "pool": "orders", "path": "/orders?user={id}", "required": False},
            ]
        },
        "policies": [{"plugin": "merge", "config": {"parts": shapes}}],
    }
    pools = [{"name": "users", "members": [{"address": users.address}]}, {"name": "orders", "members": [{"address": orders.address}]}]
    gateway = run_gateway(pools=pools, routes=[route])
    reply = gateway.get("/profiles/7", {"Accept-Encoding": "gzip", "X-Kept": "yes"})
    assert (reply.status, reply.json()) == (200, {"id": 7, "orders": [{"id": 1, "total": 9}]})
    assert reply.headers.get("X-Gateway-Partial") is None
    assert (users.last.target, orders.last.target) == ("/users/7", "/orders?user=7")
    assert users.last.headers.get("X-Kept") == "yes"
    orders.answer = lambda request: Answer(500)
    reply = gateway.get("/profiles/7")
    assert (reply.status, reply.json(), reply.headers.get("X-Gateway-Partial")) == (200, {"id": 7, "orders": []}, "orders")
    users.close()
    assert gateway.get("/profiles/7").status == 502
