"""Plain merge: the aggregation of every composed route whose plugins have no opinion."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.api import Exchange, PartResult, Plugin, Reject, Response, hookimpl

#: Names the parts that are missing from an answer.
PARTIAL = "X-Gateway-Partial"


class PlainMerge(Plugin):
    """Put the parts side by side in one JSON object, each under its name.

    A JSON answer is taken over octet for octet, text becomes a string, no content becomes null. A part that is
    neither counts as failed: an optional one is left out and named, a required one fails the whole (502).
    """

    name = "plain_merge"

    @hookimpl(trylast=True)
    def aggregate(self, exchange: Exchange, parts: Sequence[PartResult]) -> Response:
        """Merge what there is."""
        merged: dict[str, orjson.Fragment | str | None] = {}
        unusable = []
        for part in parts:
            if part.error:
                continue
            try:
                merged[part.name] = _value(part)
            except ValueError:
                if part.required:
                    return Reject(502, "part_unusable", f"part {part.name} is neither JSON nor text")
                unusable.append(part.name)
        if not merged:
            return Reject(502, "part_failed", "no part of the composition has an answer")
        response = Response(200, [("Content-Type", "application/json")], orjson.dumps(merged))
        if unusable:
            response.headers.set(PARTIAL, ", ".join(unusable))
        return response


def _value(part: PartResult) -> orjson.Fragment | str | None:
    """Return a part's content as a piece of JSON. Raises ValueError."""
    if not part.content:
        return None
    kind = ((part.headers.get("Content-Type") if part.headers is not None else None) or "").partition(";")[0].strip().lower()
    if not kind or kind == "application/json" or kind.endswith("+json"):
        orjson.loads(part.content)  # checked, then passed on unchanged: numbers keep every digit
        return orjson.Fragment(part.content)
    if kind.startswith("text/"):
        return part.content.decode()
    raise ValueError(f"{kind} cannot be put into JSON")


__all__ = ["PARTIAL", "PlainMerge"]
