import pytest

from gateway.hooks.conditions import compile_when
from gateway.model.consumer import Consumer
from gateway.model.policy import When
from tests.hooks.support import exchange

GOLD = Consumer("alice", frozenset({"gold", "staff"}))


def applies(when, made):
    condition = compile_when(When.model_validate(when), "route/r/p")
    return condition is None or condition(made)


def test_no_condition_is_no_function():
    assert compile_when(None, "p") is None
    assert compile_when(When(), "p") is None


def test_an_empty_condition_turned_round_never_holds():
    assert not applies({"unless": True}, exchange())


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"methods": ["POST", "PUT"]}, False),
        ({"methods": ["GET"]}, True),
        ({"paths": ["/users"]}, True),
        ({"paths": ["/user"]}, False),
        ({"paths": ["=/users"]}, False),
        ({"paths": ["/nothing", "/users/{id}"]}, True),
        ({"paths": ["~^/u[a-z]+/[0-9]+$"]}, True),
        ({"headers": {"X-Debug": ""}}, True),
        ({"headers": {"X-None": ""}}, False),
        ({"headers": {"x-debug": "yes"}}, True),
        ({"headers": {"x-debug": "no"}}, False),
        ({"headers": {"X-Debug": "~^y"}}, True),
        ({"headers": {"X-None": "~."}}, False),
        ({"methods": ["GET"], "paths": ["/users"], "headers": {"X-Debug": "yes"}}, True),
        ({"methods": ["GET"], "paths": ["/users"], "headers": {"X-Debug": "no"}}, False),
    ],
)
def test_holds_when_every_part_fits(when, holds):
    made = exchange("GET", "/users/42", [("X-Debug", "yes")])
    assert applies(when, made) is holds
    assert applies({**when, "unless": True}, exchange("GET", "/users/42", [("X-Debug", "yes")])) is not holds


def test_get_includes_head_as_in_a_match():
    assert applies({"methods": ["GET"]}, exchange("HEAD"))


@pytest.mark.parametrize(("groups", "consumer", "holds"), [(["gold"], GOLD, True), (["silver"], GOLD, False), (["gold"], None, False)])
def test_groups_are_those_of_the_consumer_and_of_nobody_before_authentication(groups, consumer, holds):
    assert applies({"groups": groups}, exchange(consumer=consumer)) is holds
    assert applies({"groups": groups, "unless": True}, exchange(consumer=consumer)) is not holds


def test_groups_and_request_must_both_fit():
    when = {"groups": ["gold"], "methods": ["POST"]}
    assert not applies(when, exchange("GET", consumer=GOLD))
    assert applies(when, exchange("POST", consumer=GOLD))


def test_the_request_is_judged_once_even_when_a_plugin_changes_it():
    condition = compile_when(When(headers={"X-Debug": ""}), "route/r/p")
    made = exchange(headers=[("X-Debug", "1")])
    assert condition(made)
    made.request.headers.remove("X-Debug")
    assert condition(made)


def test_groups_are_judged_again_once_the_caller_is_known():
    condition = compile_when(When(groups=["gold"], methods=["GET"]), "route/r/p")
    made = exchange()
    assert not condition(made)
    made.consumer = GOLD
    assert condition(made)


def test_a_bad_pattern_is_a_value_error():
    with pytest.raises(ValueError):
        compile_when(When(paths=["~("]), "p")
