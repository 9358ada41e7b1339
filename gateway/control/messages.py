"""What pydantic finds, in the words of whoever wrote the configuration.

Two things need care. A location of pydantic's names the branch of a union that was tried (``balancer.BalancerChoice.plugin``), which
is nothing that stands in the file; and it reports every branch, while only the one that was meant is of interest. And no message may
repeat a value that could be a secret, so values are only shown where the field allows a few known words.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.control.problems import Findings, Location, did_you_mean

_WRONG_TYPE = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of names to values",
    "model_attributes_type": "a mapping of names to values",
    "date_type": "a date such as 2030-12-31",
    "date_parsing": "a date such as 2030-12-31",
    "date_from_datetime_parsing": "a date such as 2030-12-31",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


def add_pydantic_errors(findings: Findings, error: ValidationError, model: type[BaseModel], raw: Any) -> None:
    """Add each error of a model's validation, at the place in ``raw`` that it is about."""
    found: dict[Location, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        found.setdefault(_location(details, raw), []).append(details)
    for location, at_one_place in found.items():
        types = [details["type"] for details in at_one_place]
        wrong = [_WRONG_TYPE[name] for name in types if name in _WRONG_TYPE]
        deeper = any(other[: len(location)] == location for other in found if other != location)
        if deeper and all(name in _WRONG_TYPE or name == "too_short" for name in types):
            # a branch of a union that is wrong as a whole says nothing where another branch got further, and
            # a list is counted as too short when its entries are wrong
            continue
        if wrong and len(wrong) == len(types):
            findings.error(location, f"should be {' or '.join(dict.fromkeys(wrong))}{_but(at_one_place[0]['input'])}")
            continue
        messages = [_message(details, location, model) for details in at_one_place if details["type"] not in _WRONG_TYPE]
        for message in dict.fromkeys(messages):
            findings.error(location, message)


def _location(details: ErrorDetails, raw: Any) -> Location:
    """Leave out of a location whatever names a branch of a union: it is not in the data."""
    location: list[str | int] = []
    last = len(details["loc"]) - 1
    for index, step in enumerate(details["loc"]):
        if isinstance(raw, Mapping):
            if step in raw:
                raw = raw[step]
            elif not (index == last and details["type"] == "missing"):
                continue
        elif isinstance(raw, Sequence) and not isinstance(raw, str | bytes) and isinstance(step, int) and step < len(raw):
            raw = raw[step]
        else:
            continue
        location.append(step)
    return tuple(location)


def _message(details: ErrorDetails, location: Location, model: type[BaseModel]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return f"unknown key{did_you_mean(str(location[-1]) if location else '', _keys_at(model, location[:-1]))}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        value = details["input"]
        shown = f", not {value!r}" if isinstance(value, int | float) else ""
        return f"should be {words} {_number(context[name])}{shown}"
    if kind in ("literal_error", "enum"):
        value = details["input"]
        allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        meant = did_you_mean(value, allowed) if isinstance(value, str) else ""
        return f"should be {context['expected']}, not {value!r}{meant}"
    if kind == "string_pattern_mismatch":
        if context["pattern"] == _NAME_PATTERN:
            return "should be letters, digits, '.', '_' and '-', beginning with a letter or a digit (128 at most)"
        return f"should match {context['pattern']}"
    if kind in ("too_short", "string_too_short"):
        return "should not be empty" if context["min_length"] == 1 else f"should have at least {context['min_length']} {_units(kind)}"
    if kind in ("too_long", "string_too_long"):
        return f"should have at most {context['max_length']} {_units(kind)}"
    if kind == "value_error":
        return str(context["error"])
    text = details["msg"].removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _but(value: Any) -> str:
    """Say what kind of value stands there instead, never the value."""
    if value is None:
        return ", not empty"
    for types, word in ((bool, "true or false"), (int | float, "a number"), (str, "text"), (Mapping, "a mapping"), (Sequence, "a list")):
        if isinstance(value, types):
            return f", not {word}{' (quote it)' if word in ('a number', 'true or false') else ''}"
    return ""


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _units(kind: str) -> str:
    return "characters" if kind.startswith("string") else "entries"


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _keys_at(model: Any, location: Location) -> list[str]:
    """Return the keys that the model knows at a location, as far as its JSON Schema tells."""
    schema = _schema(model)
    definitions = schema.get("$defs", {})
    places = [schema]
    for step in (*location, None):
        opened: list[dict[str, Any]] = []
        while places:
            place = places.pop()
            if "$ref" in place:
                places.append(definitions[place["$ref"].rpartition("/")[2]])
            elif "properties" in place or "items" in place or "additionalProperties" in place:
                opened.append(place)
            places.extend(branch for branch in (*place.get("anyOf", ()), *place.get("oneOf", ()), *place.get("allOf", ())))
        if step is None:
            return [key for place in opened for key in place.get("properties", {})]
        for place in opened:
            named = place.get("properties", {}).get(step, place.get("additionalProperties"))
            inner = place.get("items") if isinstance(step, int) else named
            if isinstance(inner, dict):
                places.append(inner)
    return []
