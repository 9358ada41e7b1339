"""Shaping JSON: take a value out, keep or drop fields, rename them. Paths are compiled to trees once, per policy."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: A dot that is not escaped: ``a\\.b`` is one key.
_DOT = re.compile(r"(?<!\\)\.")


class Missing(ValueError):
    """The value that a path leads to is not there."""


class Tree:
    """Paths as a tree: what to do with a key, and what with those below it."""

    __slots__ = ("below", "ends", "name")

    def __init__(self) -> None:
        self.below: dict[str, Tree] = {}
        #: a path ends here
        self.ends = False
        #: what the key is to be called
        self.name = ""


def split(path: str) -> tuple[str, ...]:
    """Return the keys of a dotted path. Raises ValueError on an empty key."""
    keys = tuple(key.replace("\\.", ".") for key in _DOT.split(path))
    if not all(keys):
        raise ValueError(f"{path!r} has an empty key: a path is keys with dots between them, such as address.city")
    return keys


def tree_of(paths: Iterable[str] | Mapping[str, str]) -> Tree:
    """Compile paths; a mapping gives the names that the last keys are changed to."""
    top = Tree()
    for path in paths:
        tree = top
        for key in split(path):
            tree = tree.below.setdefault(key, Tree())
        tree.ends = True
        if isinstance(paths, Mapping):
            tree.name = paths[path]
    return top


def take(value: Any, keys: Iterable[str]) -> Any:
    """Return what lies at a path; a key into a list is its index. Raises Missing."""
    for key in keys:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise Missing(f"there is no {key}")
    return value


def keep(value: Any, tree: Tree) -> Any:
    """Return only what the paths name. A path goes through every element of a list."""
    if isinstance(value, list):
        return [keep(element, tree) for element in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, below in tree.below.items():
        if key in value:
            inner = value[key]
            if below.ends:
                kept[key] = inner
            elif isinstance(inner, dict | list):
                kept[key] = keep(inner, below)
    return kept


def drop(value: Any, tree: Tree) -> Any:
    """Return everything but what the paths name."""
    if isinstance(value, list):
        return [drop(element, tree) for element in value]
    if not isinstance(value, dict):
        return value
    left = {}
    for key, inner in value.items():
        below = tree.below.get(key)
        if below is None:
            left[key] = inner
        elif not below.ends:
            left[key] = drop(inner, below)
    return left


def rename(value: Any, tree: Tree) -> Any:
    """Return the value with keys renamed. All at once: ``{a: b, b: a}`` exchanges the two."""
    if isinstance(value, list):
        return [rename(element, tree) for element in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, inner in value.items():
        below = tree.below.get(key)
        if below is None:
            renamed[key] = inner
        else:
            renamed[below.name or key] = rename(inner, below) if below.below else inner
    return renamed
