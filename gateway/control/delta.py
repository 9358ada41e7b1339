"""What changed between two documents, and how to get from one to the other.

A delta names every entry that is new, different or gone. It is complete for a worker that keeps no document: when a consumer
changes, its credentials are listed too, because what finds the consumer has to find the new one.
"""

from collections.abc import Mapping
from typing import Any

from gateway.control.digest import digest_number, digest_text, entry_hash, whole_hash
from gateway.control.load import Mismatch
from gateway.control.schema import KINDS, WHOLES

Document = dict[str, Any]
Delta = dict[str, Any]


def difference(old: Document, new: Document) -> Delta:
    """Return what leads from one document to another. Entries that are the same object are not looked into."""
    delta: Delta = {"from": old["digest"], "to": new["revision"], "revision": new["revision"], "digest": new["digest"]}
    changed, gone = {}, {}
    for kind in KINDS:
        before, after = old.get(kind, {}), new.get(kind, {})
        if found := _changed(before, after):
            changed[kind] = found
        if missing := _gone(before, after, found):
            gone[kind] = missing
    delta.update({kind: new[kind] for kind in WHOLES if old.get(kind) != new[kind]})
    if credentials := _credentials(old.get("credentials", {}), new.get("credentials", {}), changed.get("consumers", {})):
        delta["credentials"] = credentials
    return {**delta, "set": changed, "delete": gone}


def apply(document: Document, delta: Delta) -> Document:
    """Return the document that a delta leads to, sharing what it does not mention.

    Raises Mismatch when the delta starts from another document, or when the result is not what its maker had.
    """
    if delta["from"] != document["digest"]:
        raise Mismatch(f"the delta changes {delta['from'] or 'nothing'}, this is {document['digest'] or 'nothing'}")
    total = digest_number(document["digest"])
    result = dict(document)
    for kind in KINDS:
        total += _apply(result, kind, kind, delta["set"].get(kind, {}), delta["delete"].get(kind, ()))
    tables = result["credentials"] = dict(document.get("credentials", {}))
    for plugin, change in delta.get("credentials", {}).items():
        total += _apply(tables, plugin, f"credentials/{plugin}", change.get("set", {}), change.get("delete", ()))
        if not tables[plugin]:
            del tables[plugin]
    for kind in WHOLES:
        if kind in delta:
            total += whole_hash(kind, delta[kind]) - whole_hash(kind, document.get(kind))
            result[kind] = delta[kind]
    result["revision"], result["digest"] = delta["revision"], digest_text(total)
    if result["digest"] != delta["digest"]:
        raise Mismatch(f"the delta should lead to {delta['digest']} and leads to {result['digest']}")
    return result


def is_empty(delta: Delta) -> bool:
    """Tell whether a delta changes nothing."""
    return delta["from"] == delta["digest"]


def document_digest(document: Document) -> str:
    """Compute the digest of a document from its entries."""
    total = sum(whole_hash(kind, document.get(kind)) for kind in WHOLES)
    for kind in KINDS:
        total += sum(entry_hash(kind, name, entry) for name, entry in document.get(kind, {}).items())
    for plugin, table in document.get("credentials", {}).items():
        total += sum(entry_hash(f"credentials/{plugin}", key, value) for key, value in table.items())
    return digest_text(total)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    get = before.get
    return {name: entry for name, entry in after.items() if (known := get(name)) is not entry and known != entry}


def _credentials(old: Mapping[str, Any], new: Mapping[str, Any], consumers: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for plugin in {**old, **new}:
        before, after = old.get(plugin, {}), new.get(plugin, {})
        changed = _changed(before, after)
        if consumers:
            changed.update({key: value for key, value in after.items() if value[0] in consumers})
        gone = _gone(before, after, changed)
        if changed or gone:
            found[plugin] = {"set": changed, "delete": gone}
    return found


def _gone(before: Mapping[str, Any], after: Mapping[str, Any], changed: Mapping[str, Any]) -> list[str]:
    if len(before) + sum(name not in before for name in changed) == len(after):
        return []  # so many that none can be missing: no need to look for each
    return [name for name in before if name not in after]


def _apply(target: Document, key: str, kind: str, new: Mapping[str, Any], gone: Any) -> int:
    """Replace one table by an updated copy; return what that adds to the digest."""
    before = target.get(key, {})
    table = dict(before)
    total = 0
    for name, entry in new.items():
        total += entry_hash(kind, name, entry)
        if name in table:
            total -= entry_hash(kind, name, table[name])
        table[name] = entry
    for name in gone:
        if name in table:
            total -= entry_hash(kind, name, table.pop(name))
    target[key] = table
    return total
