"""A document becomes the Snapshot that a worker runs from; a delta becomes the next one, sharing whatever it does not mention.

This runs beside traffic, in the loop that also serves it. So work is cut into slices, with a call of
``pause`` between them, and the garbage collector is kept out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gateway.control.schema import KINDS
from gateway.control.slices import Pause, Slices, uncollected
from gateway.control.store import Chunk
from gateway.model.consumer import Consumer
from gateway.model.observe import Observe
from gateway.model.policy import Policy
from gateway.model.snapshot import Holder, Snapshot


class Mismatch(ValueError):
    """A delta starts from another configuration than the one in force: the whole is needed."""


class Loader:
    """Makes a snapshot of entries as they come, pausing in time, and takes what stayed the same from the snapshot that is known."""

    def __init__(self, pause: Pause | None = None, known: Snapshot | None = None) -> None:
        #: to be called after every small step
        self.breathe = Slices(pause).breathe
        self._known = Snapshot() if known is None else known
        #: many consumers are in the same groups
        self._groups: dict[tuple[str, ...], frozenset[str]] = {}
        self._head: dict[str, Any] = {}
        self._tables: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._credentials: dict[str, dict[str, Holder]] = {}

    def take(self, table: tuple[str, ...], entries: Mapping[str, Any]) -> None:
        """Take in entries of a table of the document; ``()`` is the document's top. Consumers must come before credentials."""
        match table:
            case ():
                self._head.update(entries)
            case ("credentials",):
                pass
            case ("credentials", plugin):
                old = self._known.credentials.get(plugin, {})
                self._credentials.setdefault(plugin, {}).update(self.holders(entries, self._tables["consumers"], old))
            case ("consumers",):
                self._tables["consumers"].update(self.consumers(entries))
            case (kind,) if kind in KINDS:
                self._tables[kind].update(self.models(kind, entries))
            case _:
                raise ValueError(f"a document has no {'.'.join(table)}")

    def snapshot(self) -> Snapshot:
        """Return the snapshot of everything taken in."""
        head = self._head
        return Snapshot(
            revision=head["revision"],
            digest=head["digest"],
            policies=policies(head.get("policies", ())),
            observe=Observe.model_validate(head.get("observe", {})),
            credentials=self._credentials,
            **self._tables,
        )

    def models(self, kind: str, entries: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """Make the objects of one kind."""
        model, old = KINDS[kind], getattr(self._known, kind)
        found = {}
        for name, entry in entries.items():
            made = model.model_validate(entry)
            known = old.get(name)
            found[name] = known if known == made else made
            self.breathe()
        return found

    def consumers(self, entries: Mapping[str, dict[str, Any]]) -> dict[str, Consumer]:
        """Make light consumers."""
        old = self._known.consumers
        found = {}
        for name, entry in entries.items():
            groups = tuple(entry.get("groups", ()))
            shared = self._groups.get(groups)
            if shared is None:
                shared = self._groups[groups] = frozenset(groups)
            made = Consumer(name, shared, entry.get("metadata"), policies(entry.get("policies", ())))
            known = old.get(name)
            found[name] = known if known is not None and _same(known, made) else made
            self.breathe()
        return found

    def holders(self, entries: Mapping[str, list[Any]], consumers: Mapping[str, Consumer], old: Mapping[str, Holder]) -> dict[str, Holder]:
        """Make what finds consumers by their credentials."""
        found = {}
        for key, (consumer, name, stored) in entries.items():
            made = (consumers[consumer], name, stored)
            known = old.get(key)
            found[key] = known if known == made else made
            self.breathe()
        return found


def policies(entries: Any) -> tuple[Policy, ...]:
    """Make policies from their entries."""
    return tuple(Policy.model_validate(entry) for entry in entries)


def load(document: Mapping[str, Any], pause: Pause | None = None, known: Snapshot | None = None) -> Snapshot:
    """Make a snapshot of a whole document. Raises ValueError or KeyError when it is not one of ours.

    Objects that are the same in ``known`` are taken from there, so whoever compares identities sees only what differs.
    """
    tables = {kind: document[kind] for kind in KINDS if kind in document}
    head = {key: value for key, value in document.items() if key not in tables and key != "credentials"}
    chunks: list[Chunk] = [((), head), *(((kind,), entries) for kind, entries in tables.items())]
    chunks += [(("credentials", plugin), entries) for plugin, entries in document.get("credentials", {}).items()]
    return load_chunks(chunks, pause, known)


def load_chunks(chunks: Iterable[Chunk], pause: Pause | None = None, known: Snapshot | None = None) -> Snapshot:
    """Make a snapshot of a document that comes in parts, so that it never exists as a whole."""
    loader = Loader(pause, known)
    with uncollected():
        for table, entries in chunks:
            loader.take(table, entries)
        return loader.snapshot()


def apply(snapshot: Snapshot, delta: Mapping[str, Any], pause: Pause | None = None) -> Snapshot:
    """Make the next snapshot from one and a delta. Raises Mismatch when the delta starts from another one."""
    if delta["from"] != snapshot.digest:
        raise Mismatch(f"the delta changes {delta['from'] or 'nothing'}, in force is {snapshot.digest or 'nothing'}")
    with uncollected():
        loader = Loader(pause)
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
                made = loader.holders(change.get("set", {}), consumers, {})
                tables[plugin] = _updated(tables.get(plugin, {}), made, change.get("delete", ()))
                loader.breathe()
            changed["credentials"] = {plugin: table for plugin, table in tables.items() if table}
        if "policies" in delta:
            changed["policies"] = policies(delta["policies"])
        if "observe" in delta:
            changed["observe"] = Observe.model_validate(delta["observe"])
        return replace(snapshot, **changed)


def _same(one: Consumer, other: Consumer) -> bool:
    return (one.groups, one.metadata, one.policies) == (other.groups, other.metadata, other.policies)


def _updated(old: Mapping[str, Any], new: Mapping[str, Any], gone: Any) -> dict[str, Any]:
    # Copying a dict of 100,000 entries is one memory copy, about a millisecond; changing it in place would
    # change the snapshot under exchanges in flight.
    updated = dict(old)
    updated.update(new)
    for name in gone:
        updated.pop(name, None)
    return updated
