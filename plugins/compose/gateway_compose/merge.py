"""Merge the parts of a composed route into one JSON document."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field

from gateway.api import Exchange, PartResult, Plugin, PolicyInfo, Reject, Response, Settings, hookimpl
from gateway_compose.shape import drop, keep, rename, split, take, tree_of

#: Names the parts that are missing from an answer; the core adds those that failed while they were fetched.
PARTIAL = "X-Gateway-Partial"
#: Objects inside each other that are merged key by key; what lies deeper is a conflict.
DEEPEST = 100


def _check_path(path: str) -> str:
    split(path)
    return path


Path = Annotated[str, AfterValidator(_check_path)]


class Conflict(ValueError):
    """Two parts say different things under the same key."""


class PartShape(Settings):
    """What becomes of a part's JSON, in this order: target, allow, deny, rename, group."""

    target: Path | None = Field(None, description="Dotted path of the value to take instead of the whole answer; a number is an index")
    allow: tuple[Path, ...] = Field((), description="Dotted paths to keep; none = all. A path goes through every element of a list")
    deny: tuple[Path, ...] = Field((), description="Dotted paths to drop")
    rename: dict[Path, str] = Field(default_factory=dict, description="Dotted path of a key, and what the key is called instead")
    group: str | None = Field(None, min_length=1, description="Key to put the value under; needed only for objects, see Merge")
    default: Any = Field(None, description="Used instead of a failed optional part; null counts, leave it out for none")


class Merge(Plugin):
    """Merge the parts of a composed route into one JSON document.

    Objects are merged key by key, in the order of the parts; any other value, and every value with a ``group``, is put under
    a key of its own: its group, else the name of the part.
    """

    name = "merge"

    class Config(Plugin.Config):
        """Settings of a merge."""

        parts: dict[str, PartShape] = Field(default_factory=dict, description="Shape of each part, by name; others stay as they are")
        result: Literal["object", "list"] = Field(
            "object", description="object: keys side by side; list: the elements of all parts in one list, an object being one element"
        )
        on_conflict: Literal["last", "first", "error"] = Field(
            "last", description="Which part wins when two have the same key; error = 502 unless the values are equal"
        )
        deep: bool = Field(False, description="Merge objects under the same key, instead of one replacing the other")
        append_lists: bool = Field(False, description="Join lists under the same key, instead of one replacing the other")
        errors: str | None = Field(None, min_length=1, description="Key under which failed parts are listed; none = not listed")

    def __init__(self, config: Any, policy: PolicyInfo) -> None:
        super().__init__(config, policy)
        self._shapes = {name: _Shape(shape) for name, shape in config.parts.items()}
        self._plain = _Shape(PartShape())

    @hookimpl
    def aggregate(self, exchange: Exchange, parts: Sequence[PartResult]) -> Response:
        """Shape every part, then put them together."""
        if not accepts_json(exchange.request.headers.get("Accept")):
            return Reject(406, "not_acceptable", "the answer is JSON, which the client does not accept", [("Vary", "Accept")])
        values: list[tuple[str, Any]] = []
        failed: dict[str, str] = {}
        unusable = []
        for part in parts:
            shape = self._shapes.get(part.name, self._plain)
            error = part.error
            if not error:
                try:
                    values.append((part.name, shape.apply(part)))
                    continue
                except ValueError as fault:
                    if part.required:
                        return Reject(502, "part_unusable", f"part {part.name}: {fault}")
                    error = "unusable"
                    unusable.append(part.name)
            failed[part.name] = error
            if shape.has_default:
                values.append((part.name, shape.grouped(deepcopy(shape.default))))  # a deep merge changes what it is given
        if not values:
            return Reject(502, "part_failed", "no part of the composition has an answer")
        try:
            document = self._joined(values)
        except Conflict as conflict:
            return Reject(502, "merge_conflict", str(conflict))
        if failed and self.config.errors and isinstance(document, dict):
            document[self.config.errors] = failed
        try:
            content = orjson.dumps(document)
        except orjson.JSONEncodeError as fault:
            return Reject(502, "part_unusable", f"the parts are nested too deep: {fault}")
        response = Response(200, [("Content-Type", "application/json")], content)
        if unusable:
            response.headers.set(PARTIAL, ", ".join(unusable))
        return response

    def _joined(self, values: list[tuple[str, Any]]) -> Any:
        if self.config.result == "list":
            return [element for _, value in values for element in (value if isinstance(value, list) else [value])]
        document: dict[str, Any] = {}
        for name, value in values:
            self._merge(document, value if isinstance(value, dict) else {name: value}, 1)
        return document

    def _merge(self, document: dict[str, Any], more: dict[str, Any], depth: int) -> None:
        config = self.config
        for key, value in more.items():
            if key not in document:
                document[key] = value
                continue
            known = document[key]
            if config.deep and depth < DEEPEST and isinstance(known, dict) and isinstance(value, dict):
                self._merge(known, value, depth + 1)
            elif config.append_lists and isinstance(known, list) and isinstance(value, list):
                document[key] = known + value
            elif config.on_conflict == "last":
                document[key] = value
            elif config.on_conflict == "error" and (known != value or type(known) is not type(value)):
                raise Conflict(f"two parts have different values under {key}")


class _Shape:
    """A PartShape, compiled."""

    __slots__ = ("default", "has_default", "_target", "_allow", "_deny", "_rename", "_group")

    def __init__(self, shape: PartShape) -> None:
        self.default = shape.default
        self.has_default = "default" in shape.model_fields_set
        self._target = split(shape.target) if shape.target is not None else ()
        self._allow = tree_of(shape.allow) if shape.allow else None
        self._deny = tree_of(shape.deny) if shape.deny else None
        self._rename = tree_of(shape.rename) if shape.rename else None
        self._group = shape.group

    def apply(self, part: PartResult) -> Any:
        """Return a part's value in its new shape. Raises ValueError when it is no JSON or has no such target."""
        value = take(orjson.loads(part.content), self._target)
        if self._allow is not None:
            value = keep(value, self._allow)
        if self._deny is not None:
            value = drop(value, self._deny)
        if self._rename is not None:
            value = rename(value, self._rename)
        return self.grouped(value)

    def grouped(self, value: Any) -> Any:
        """Put a value under the group's key, if there is one."""
        return {self._group: value} if self._group is not None else value


def accepts_json(accept: str | None) -> bool:
    """Whether an Accept field lets the answer be JSON (RFC 9110, section 12.5.1): the most specific range that fits decides."""
    if not accept:
        return True
    verdicts: dict[str, bool] = {}
    for item in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in item.split(";"))
        refused = any(parameter.partition("=")[0].strip() == "q" and _is_zero(parameter.partition("=")[2]) for parameter in parameters)
        verdicts[kind] = verdicts.get(kind, False) or not refused
    return next((verdicts[kind] for kind in ("application/json", "application/*", "*/*") if kind in verdicts), False)


def _is_zero(weight: str) -> bool:
    try:
        return float(weight) == 0
    except ValueError:
        return False
