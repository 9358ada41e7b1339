"""Secrets by reference: ``$env:NAME`` and ``$file:PATH`` stand in the configuration, their values nowhere but in memory."""

import os
from collections.abc import Iterator
from typing import Any

_ENV, _FILE, _REDACTED = "$env:", "$file:", "$redacted"
#: A secret or a certificate chain; whatever is larger was not meant.
MAX_BYTES = 1 << 20


class Unresolved(ValueError):
    """A reference whose value cannot be had; the message names the reference, never a value."""


def is_reference(value: object) -> bool:
    """Tell whether a value stands for another (``$redacted``, which exports write, does too: for one that is missing)."""
    return isinstance(value, str) and value.startswith((_ENV, _FILE, _REDACTED))


def resolve(value: str) -> str:
    """Return what a reference stands for, any other text as it is. Raises Unresolved.

    A file's last line break is left out, because editors add one. Relative paths are relative to the working directory;
    the compile step has made those of a configuration file absolute.
    """
    if value.startswith(_ENV):
        name = value.removeprefix(_ENV)
        found = os.environ.get(name)
        if not found:
            raise Unresolved(f"environment variable {name!r} is {'not set' if found is None else 'empty'}")
        return found
    if value.startswith(_FILE):
        return _read(value.removeprefix(_FILE))
    if value.startswith(_REDACTED):
        raise Unresolved("a secret was left out here by an export; write the secret or a reference to it")
    return value


def resolve_all(value: Any) -> Any:
    """Return settings with every reference in them replaced by its value; without any, the same object. Raises Unresolved."""
    if isinstance(value, str):
        return resolve(value) if value[:1] == "$" else value
    if isinstance(value, dict):
        changed = {key: resolve_all(item) for key, item in value.items()}
        return changed if any(changed[key] is not item for key, item in value.items()) else value
    if isinstance(value, list | tuple):
        items = [resolve_all(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def references_in(value: Any, location: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every reference in some settings with its place."""
    if isinstance(value, str):
        if is_reference(value):
            yield location, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from references_in(item, (*location, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from references_in(item, (*location, index))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unresolved(f"file {path!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unresolved(f"file {path!r} is not UTF-8 text") from error
    if len(text) > MAX_BYTES:
        raise Unresolved(f"file {path!r} is larger than {MAX_BYTES} octets")
    text = text.removesuffix("\n")
    if not text:
        raise Unresolved(f"file {path!r} is empty")
    return text
