"""Judge one object of a configuration by itself, and turn it into its entry of the document.

What an object has to do with others (names that must exist, addresses used twice) is left to ``checks``; here the answer
depends on the object, the installed plugins and the values of its references alone, which is why an unchanged object need not
be judged again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ValidationError

from gateway.control.digest import entry_hash
from gateway.control.messages import add_pydantic_errors
from gateway.control.plugins import check_credentials, check_policies, check_settings
from gateway.control.problems import Findings, Location
from gateway.control.references import References
from gateway.control.schema import KINDS
from gateway.control.values import check_not_seen, check_values
from gateway.model.observe import Observe
from gateway.model.policy import Policy

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry

#: Parts of objects that may refer to files (``model.base.Referring``).
_REFERRING = ("tls", "balancer", "policies", "tracing")
#: plugin, lookup key, [consumer, credential name, what the plugin stores], position
CredentialEntry = tuple[str, str, list[Any], int]


@dataclass(slots=True)
class Unit:
    """One object: what became of it, and what to ask of the others. Locations are relative to the object."""

    kind: str
    name: str
    #: tells whether the object as written has changed; ``None`` = cannot tell
    mark: int | None
    #: entry of the document; ``None`` when there are errors
    entry: dict[str, Any] | None = None
    #: sum of the hashes of the entry and of its credentials
    digest: int = 0
    #: names of other objects: place, kind, name
    uses: tuple[tuple[Location, str, str], ...] = ()
    credentials: tuple[CredentialEntry, ...] = ()
    #: references with a digest of what they stood for
    references: dict[str, str] = field(default_factory=dict)
    warnings: tuple[tuple[Location, str], ...] = ()
    #: of a route: what decides which requests it takes
    match: bytes = b""


@dataclass(slots=True)
class Context:
    """What judging needs beside the object itself."""

    registry: "Registry"
    references: References
    #: keep policies of plugins that are installed but broken: they fail closed in the workers
    lenient: bool = False


def mark_of(raw: Any) -> int | None:
    """Return a number that changes when the object as written does, without keeping its secrets."""
    try:
        return hash(orjson.dumps(raw))
    except TypeError:
        return None


def build_unit(kind: str, raw: Any, mark: int | None, findings: Findings, context: Context) -> Unit | None:
    """Judge one object; return its unit, or ``None`` when it is not even a mapping. Errors go to ``findings``."""
    if not isinstance(raw, Mapping):
        findings.error((), "should be a mapping of names to values")
        return None
    name = raw.get("name")
    unit = Unit(kind, name if isinstance(name, str) else "", mark, uses=tuple(_uses(kind, raw)))
    before = len(findings.errors)
    own = Findings(findings.base, findings.errors)
    seen = context.references.watch()
    model = _validated(KINDS[kind], raw, own)
    check_values(kind, raw, own, context.references)
    check_policies(raw.get("policies"), own.below("policies"), context, of_consumer=kind == "consumers")
    if kind == "pools" and isinstance(raw.get("balancer"), Mapping):
        check_settings("balancer", raw["balancer"], own.below("balancer"), context)
    elif kind == "pools" and isinstance(raw.get("balancer", "round_robin"), str):
        check_settings("balancer", {"plugin": raw.get("balancer", "round_robin")}, own.below("balancer"), context, named_only=True)
    found = check_credentials(raw.get("credentials"), own.below("credentials"), context) if kind == "consumers" else []
    unit.references = seen()
    base = len(findings.base)
    unit.warnings = tuple((problem.location[base:], problem.message) for problem in own.warnings)
    if model is not None and len(findings.errors) == before:
        unit.credentials = tuple((plugin, key, [unit.name, label, stored], position) for plugin, key, label, stored, position in found)
        unit.entry = _entry(kind, model, context.references, unit.references)
        if kind == "routes" and unit.entry.get("enabled", True):
            decisive = [unit.entry.get(key) for key in ("match", "priority", "api", "versions")]
            unit.match = orjson.dumps(decisive, option=orjson.OPT_SORT_KEYS)
        unit.digest = entry_hash(kind, unit.name, unit.entry)
        unit.digest += sum(entry_hash(f"credentials/{plugin}", key, value) for plugin, key, value, _ in unit.credentials)
    return unit


def build_policies(raw: Any, findings: Findings, context: Context) -> list[dict[str, Any]]:
    """Judge the policies of gateway scope; return their entries."""
    if raw is None:
        return []
    if not isinstance(raw, list | tuple):
        findings.error((), "should be a list")
        return []
    seen = context.references.watch()
    models = [_validated(Policy, item, findings.below(index)) for index, item in enumerate(raw)]
    for index, item in enumerate(raw):
        if isinstance(item, Mapping):
            check_values("policies", item, findings.below(index), context.references)
    check_policies(raw, findings, context)
    used = seen()
    return [_entry("policies", model, context.references, used) for model in models if model is not None]


def build_observe(raw: Any, findings: Findings, context: Context) -> dict[str, Any]:
    """Judge what is to be recorded; return its entry."""
    if raw is None:
        return {}
    seen = context.references.watch()
    model = _validated(Observe, raw, findings)
    tracing = raw.get("tracing") if isinstance(raw, Mapping) else None
    if isinstance(tracing, Mapping) and isinstance(tracing.get("secret"), str):
        context.references.value(tracing["secret"], findings, ("tracing", "secret"))
    if isinstance(tracing, Mapping):
        check_not_seen(tracing, findings.below("tracing"))
    return _entry("observe", model, context.references, seen()) if model is not None else {}


def _validated(model: type[BaseModel], raw: Any, findings: Findings) -> BaseModel | None:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        add_pydantic_errors(findings, error, model, raw)
        return None


def _uses(kind: str, raw: Mapping[str, Any]) -> Iterable[tuple[Location, str, str]]:
    wanted: list[tuple[Location, str, Any]] = []
    if kind == "routes":
        wanted += [(("pool",), "pools", raw.get("pool")), (("api",), "apis", raw.get("api"))]
        compose = raw.get("compose")
        parts = compose.get("parts") if isinstance(compose, Mapping) else None
        for index, part in enumerate(parts if isinstance(parts, list | tuple) else ()):
            if isinstance(part, Mapping):
                wanted.append((("compose", "parts", index, "pool"), "pools", part.get("pool")))
    elif kind == "streams":
        wanted += [(("listener",), "listeners", raw.get("listener")), (("pool",), "pools", raw.get("pool"))]
    return (use for use in wanted if isinstance(use[2], str))


def _entry(kind: str, model: BaseModel, references: References, used: Mapping[str, str]) -> dict[str, Any]:
    # A worker recognises a consumer by its credentials' lookup keys; the credentials themselves stay behind.
    left_out = {"name", "credentials", "tags", "note"} if kind == "consumers" else None
    entry: dict[str, Any] = model.model_dump(mode="json", exclude_defaults=True, exclude=left_out)
    if not used:
        return entry
    entry = references.absolute(entry)
    own = [entry] if kind in ("certificates", "policies") else []
    for part in [*own, *(part for key in _REFERRING for part in _mappings(entry.get(key)))]:
        if seen := references.seen(part):
            part["seen"] = seen
    return entry


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
