"""A document becomes the Snapshot that a worker runs from; a delta becomes the next one, sharing whatever it does not mention.

This runs beside traffic, in the loop that also serves it. So work is cut into slices of at most ``SLICE_S``, with a call of
``pause`` between them, and the garbage collector is kept out: a full collection walks every object there is, which
at 100,000 consumers takes longer than any slice. Snapshots hold no cycles, so reference counts free them; what is loaded is
moved out of the collector's sight (``gc.freeze``).
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

from gateway.control.schema import KINDS
from gateway.control.units import SEEN
from gateway.model.consumer import Consumer
from gateway.model.policy import Policy
from gateway.model.snapshot import Holder, Snapshot

#: A slice ends after this long, checked after each entry; the longest entry is far below a millisecond.
SLICE_S = 0.002
Pause = Callable[[], None]


class Mismatch(ValueError):
    """A delta starts from another configuration than the one in force: the whole is needed."""


class _Loader:
    """Makes model objects, pausing in time; remembers groups, because many consumers have the same."""

    def __init__(self, pause: Pause | None) -> None:
        self._pause = pause
        self._since = perf_counter()
        self._groups: dict[tuple[str, ...], frozenset[str]] = {}

    def breathe(self) -> None:
        if self._pause is not None and perf_counter() - self._since > SLICE_S:
            self._pause()
            self._since = perf_counter()

    def models(self, kind: str, entries: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        model = KINDS[kind]
        found = {}
        for name, entry in entries.items():
            if SEEN in entry:
                entry = {key: value for key, value in entry.items() if key != SEEN}
            found[name] = model.model_validate(entry)
            self.breathe()
        return found

    def consumers(self, entries: Mapping[str, dict[str, Any]]) -> dict[str, Consumer]:
        found = {}
        for name, entry in entries.items():
            groups = tuple(entry.get("groups", ()))
            shared = self._groups.get(groups)
            if shared is None:
                shared = self._groups[groups] = frozenset(groups)
            found[name] = Consumer(name, shared, entry.get("metadata"), policies(entry.get("policies", ())))
            self.breathe()
        return found

    def holders(self, entries: Mapping[str, list[Any]], consumers: Mapping[str, Consumer]) -> dict[str, Holder]:
        found = {}
        for key, (consumer, name, stored) in entries.items():
            found[key] = (consumers[consumer], name, stored)
            self.breathe()
        return found


def policies(entries: Any) -> tuple[Policy, ...]:
    """Make policies from their entries."""
    return tuple(Policy.model_validate(entry) for entry in entries)


def load(document: Mapping[str, Any], pause: Pause | None = None) -> Snapshot:
    """Make a snapshot of a whole document. Raises ValueError or KeyError when it is not one of ours."""
    with _uncollected():
        loader = _Loader(pause)
        consumers = loader.consumers(document.get("consumers", {}))
        parts = {kind: loader.models(kind, document.get(kind, {})) for kind in KINDS if kind != "consumers"}
        credentials = {plugin: loader.holders(entries, consumers) for plugin, entries in document.get("credentials", {}).items()}
        return Snapshot(
            revision=document["revision"],
            digest=document["digest"],
            consumers=consumers,
            credentials=credentials,
            policies=policies(document.get("policies", ())),
            **parts,
        )


def apply(snapshot: Snapshot, delta: Mapping[str, Any], pause: Pause | None = None) -> Snapshot:
    """Make the next snapshot from one and a delta. Raises Mismatch when the delta starts from another one."""
    if delta["from"] != snapshot.digest:
        raise Mismatch(f"the delta changes {delta['from'] or 'nothing'}, in force is {snapshot.digest or 'nothing'}")
    with _uncollected():
        loader = _Loader(pause)
        changed: dict[str, Any] = {"revision": delta["revision"], "digest": delta["digest"]}
        for kind in KINDS:
            new, gone = delta.get("set", {}).get(kind, {}), delta.get("delete", {}).get(kind, ())
            if new or gone:
                made = loader.consumers(new) if kind == "consumers" else loader.models(kind, new)
                changed[kind] = _updated(getattr(snapshot, kind), made, gone)
                loader.breathe()
        if delta.get("credentials"):
            consumers = changed.get("consumers", snapshot.consumers)
            tables = dict(snapshot.credentials)
            for plugin, change in delta["credentials"].items():
                made = loader.holders(change.get("set", {}), consumers)
                tables[plugin] = _updated(tables.get(plugin, {}), made, change.get("delete", ()))
                loader.breathe()
            changed["credentials"] = {plugin: table for plugin, table in tables.items() if table}
        if "policies" in delta:
            changed["policies"] = policies(delta["policies"])
        return replace(snapshot, **changed)


def _updated(old: Mapping[str, Any], new: Mapping[str, Any], gone: Any) -> dict[str, Any]:
    # Copying a dict of 100,000 entries is one memory copy, about a millisecond; changing it in place would
    # change the snapshot under exchanges in flight.
    updated = dict(old)
    updated.update(new)
    for name in gone:
        updated.pop(name, None)
    return updated


@contextmanager
def _uncollected() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
