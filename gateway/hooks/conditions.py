"""Run conditions: the ``when`` of a policy as one function of the exchange.

What the request looked like is judged once per exchange and remembered, because a plugin may change the very header
or path that its condition reads: a policy that acted on a request must act on its response too. Groups are judged
each time, since they are unknown until authentication.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.model.patterns import compile_path, compile_value

if TYPE_CHECKING:
    from gateway.model.exchange import Exchange
    from gateway.model.policy import When

Condition = Callable[["Exchange"], bool]


def compile_when(when: When | None, policy_id: str) -> Condition | None:
    """Return the condition as a function; ``None`` when it always holds. Raises ValueError on a pattern that cannot be compiled."""
    if when is None:
        return None
    tests = _request_tests(when)
    if not tests and not when.groups:
        return _never if when.unless else None
    request = _all(tests)
    if request is not None and (when.paths or when.headers):  # a method stays what it is
        request = _remembered(request, f"gateway.when {policy_id}")
    groups, unless = frozenset(when.groups), when.unless
    if not groups:
        assert request is not None
        plain = request
        return (lambda exchange: not plain(exchange)) if unless else plain

    def applies(exchange: Exchange) -> bool:
        fits = request is None or request(exchange)  # first, so that it is remembered
        consumer = exchange.consumer
        return (fits and consumer is not None and not groups.isdisjoint(consumer.groups)) is not unless

    return applies


def _never(exchange: Exchange) -> bool:
    return False


def _all(tests: list[Condition]) -> Condition | None:
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda exchange: all(test(exchange) for test in tests)


def _remembered(condition: Condition, key: str) -> Condition:
    def remembered(exchange: Exchange) -> bool:
        notes = exchange.notes
        verdict = notes.get(key)
        if verdict is None:
            verdict = notes[key] = condition(exchange)
        return bool(verdict)

    return remembered


def _request_tests(when: When) -> list[Condition]:
    tests: list[Condition] = []
    if when.methods:
        methods = frozenset(when.methods) | ({"HEAD"} if "GET" in when.methods else frozenset())  # as in a route's match
        tests.append(lambda exchange: exchange.request.method in methods)
    if when.paths:
        paths = tuple(compile_path(path) for path in when.paths)
        tests.append(lambda exchange: any(path(exchange.request.path) for path in paths))
    for name, value in when.headers.items():
        tests.append(_header_test(name.lower().encode("latin-1"), value))
    return tests


def _header_test(name: bytes, value: str) -> Condition:
    if not value:
        return lambda exchange: name in exchange.request.headers.index
    if not value.startswith("~"):
        exact = value.encode("latin-1")
        return lambda exchange: exchange.request.headers.index.get(name) == exact
    fits = compile_value(value)

    def test(exchange: Exchange) -> bool:
        found = exchange.request.headers.index.get(name)
        return found is not None and fits(found.decode("latin-1"))

    return test
