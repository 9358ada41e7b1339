"""Which policies act on an exchange: those of the gateway, its API, its route and its consumer, put together.

A policy of a narrower scope takes the place of a wider one of the same label, its position in the running order
included, so that a route can tighten an inherited limit without moving it behind its own policies. Policies of
different labels add up: gateway, API, route, consumer, and within a scope as the operator ordered them.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class _Labelled(Protocol):
    @property
    def label(self) -> str: ...

    @property
    def enabled(self) -> bool: ...


P = TypeVar("P", bound=_Labelled)


def merge(*scopes: Iterable[P]) -> tuple[P, ...]:
    """Return what is left of the scopes, given from wide to narrow, in running order and with disabled policies kept.

    A disabled policy stays until ``enabled_only``, because it hides an inherited one and a still narrower scope may
    switch the same label on again.
    """
    merged: dict[str, P] = {}
    for policies in scopes:
        for policy in policies:
            merged[policy.label] = policy  # a dict keeps the place of a key that is set again
    return tuple(merged.values())


def enabled_only(policies: Iterable[P]) -> tuple[P, ...]:
    """Drop policies that are switched off, after everything is merged."""
    return tuple(policy for policy in policies if policy.enabled)
