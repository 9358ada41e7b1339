from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.control.messages import add_pydantic_errors
from gateway.control.problems import Findings, path_text
from gateway.model.base import Name


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["cat"]
    lives: int = Field(9, ge=1, lt=10)


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: tuple[str, ...] = Field((), max_length=2)


class Zoo(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Name = "zoo"
    animals: tuple[Annotated[Cat | Dog, Field(discriminator="kind")], ...] = ()
    guest: Cat | str = ""
    by_name: dict[str, Cat] = {}
    secret: str = Field("", min_length=4, max_length=6)
    price: float = Field(1, multiple_of=0.5)
    numbers: set[int] = set()


def found(raw):
    findings = Findings(("zoo", 3))
    with pytest.raises(ValidationError) as caught:
        Zoo.model_validate(raw)
    add_pydantic_errors(findings, caught.value, Zoo, raw)
    return {problem.path.removeprefix("zoo[3].").removeprefix("zoo[3]"): problem.message for problem in findings.errors}


@pytest.mark.parametrize(
    ("raw", "path", "message"),
    [
        ({"naem": 1}, "naem", "unknown key; did you mean 'name'?"),
        ({"animals": [{"kind": "cat", "lifes": 1}]}, "animals[0].lifes", "unknown key; did you mean 'lives'?"),
        ({"by_name": {"tom": {"kind": "cat", "livs": 1}}}, "by_name.tom.livs", "unknown key; did you mean 'lives'?"),
        ({"animals": [{"kind": "cat", "lives": 0}]}, "animals[0].lives", "should be at least 1, not 0"),
        ({"animals": [{"kind": "cat", "lives": 10}]}, "animals[0].lives", "should be less than 10, not 10"),
        (
            {"animals": [{"kind": "cow"}]},
            "animals[0]",
            "tag 'cow' found using 'kind' does not match any of the expected tags: 'cat', 'dog'",
        ),
        ({"animals": {}}, "animals", "should be a list, not a mapping"),
        ({"animals": [{"kind": "dog", "tricks": ["a", "b", "c"]}]}, "animals[0].tricks", "should have at most 2 entries"),
        ({"guest": {"kind": "cat", "lives": "many"}}, "guest.lives", "should be a whole number, not text"),
        ({"guest": 5}, "guest", "should be a mapping of names to values or text, not a number (quote it)"),
        ({"guest": {"lives": 3}}, "guest.kind", "is required"),
        ({"guest": {"kind": "cta"}}, "guest.kind", "should be 'cat', not 'cta'; did you mean 'cat'?"),
        ({"name": None}, "name", "should be text, not empty"),
        ({"name": True}, "name", "should be text, not true or false (quote it)"),
        ({"name": "a b"}, "name", "should be letters, digits, '.', '_' and '-', beginning with a letter or a digit (128 at most)"),
        ({"secret": "abc"}, "secret", "should have at least 4 characters"),
        ({"secret": "abcdefgh"}, "secret", "should have at most 6 characters"),
        ({"price": 0.7}, "price", "should be a multiple of 0.5, not 0.7"),
        ({"price": "cheap"}, "price", "should be a number, not text"),
        ({"numbers": ["x"]}, "numbers[0]", "should be a whole number, not text"),
    ],
)
def test_says(raw, path, message):
    assert found(raw) == {path: message}


def test_never_repeats_a_text():
    raw = {
        "secret": "hunter2",
        "price": "hunter2",
        "name": "hunter2 ",
        "animals": "hunter2",
        "numbers": ["hunter2"],
        "by_name": {"a": "hunter2"},
    }
    messages = found(raw)
    assert len(messages) == 6 and "hunter2" not in str(messages)


def test_writes_paths_as_people_do():
    assert path_text(("routes", 3, "match", "headers", "X-Foo", "a.b", "c d")) == 'routes[3].match.headers.X-Foo["a.b"]["c d"]'
    assert path_text(()) == ""
