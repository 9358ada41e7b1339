"""Turn a configuration into the document that workers run from, or say everything that is wrong with it.

The file, the REST API and the UI all come through here. Objects that have not changed since ``previous`` are taken over with their
verdict, so one change among 100,000 objects costs a comparison of each and the validation of one. An object is compared as it
is written, together with the values of its references, so a rotated key file counts as a change.

A plugin that is installed but broken (it raises when it is imported) is an error, like one that is not installed at all. A
node compiles with ``lenient``: one broken package must not keep every other change from going live, so the policy stays in
the document with a warning, and workers refuse the exchanges that need it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.control.checks import check_together, rebased
from gateway.control.digest import digest_text, entry_hash
from gateway.control.load import load
from gateway.control.messages import add_pydantic_errors
from gateway.control.problems import ConfigErrors, Findings, Problem, did_you_mean
from gateway.control.references import References
from gateway.control.schema import KINDS, Config
from gateway.control.units import Context, Unit, build_policies, build_unit, mark_of
from gateway.model.snapshot import Snapshot

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry

Document = dict[str, Any]


@dataclass
class Compiled:
    """A configuration that is in order."""

    #: what is stored, sent to workers and compared: one JSON object
    document: Document
    #: what is allowed but probably not meant
    warnings: list[Problem]
    #: files that the configuration refers to; when one changes, compile again
    files: frozenset[str]
    registry: "Registry" = field(repr=False)
    units: dict[str, dict[str, Unit]] = field(repr=False)

    @property
    def revision(self) -> int:
        """Number of the revision."""
        return int(self.document["revision"])

    @property
    def digest(self) -> str:
        """Changes whenever anything in the configuration does."""
        return str(self.document["digest"])

    @cached_property
    def snapshot(self) -> Snapshot:
        """The document as the workers see it; made when first asked for."""
        return load(self.document)

    def numbered(self, revision: int) -> "Compiled":
        """Return the same configuration as another revision."""
        return Compiled({**self.document, "revision": revision}, self.warnings, self.files, self.registry, self.units)


def compile_config(
    data: object,
    registry: "Registry",
    previous: Compiled | None = None,
    *,
    lenient: bool = False,
    base: Path | None = None,
    revision: int | None = None,
) -> Compiled:
    """Compile parsed YAML or JSON. Raises ConfigErrors with every problem.

    ``base`` is the directory where relative ``$file:`` references start. The revision is one more than that of ``previous`` when
    anything has changed, unless given.
    """
    findings = Findings()
    context = Context(registry, References(base), lenient)
    if not isinstance(data, Mapping):
        findings.error((), "a configuration is a mapping that begins with `version: 1`")
        raise ConfigErrors(findings.errors)
    _check_root(data, findings)
    reusable = previous.units if previous is not None and previous.registry is registry else {}
    units = {kind: _units(kind, data.get(kind), reusable.get(kind, {}), findings, context) for kind in KINDS}
    policies, references = build_policies(data.get("policies"), findings.below("policies"), context)
    check_together(units, findings)
    if findings.errors:
        raise ConfigErrors(sorted(findings.errors, key=_order), sorted(findings.warnings, key=_order))
    found = {kind: {unit.name: unit for unit in units[kind] if unit is not None} for kind in KINDS}
    document = _document(found, policies, references)
    if revision is None:
        before = previous.document if previous is not None else {"revision": 0, "digest": ""}
        revision = before["revision"] + (before["digest"] != document["digest"])
    document["revision"] = revision
    return Compiled(document, sorted(findings.warnings, key=_order), context.references.files, registry, found)


def _check_root(data: Mapping[Any, Any], findings: Findings) -> None:
    for key in data:
        if key not in Config.model_fields:
            findings.error((str(key),), f"unknown key{did_you_mean(str(key), Config.model_fields)}")
    version = data.get("version")
    if "version" not in data:
        findings.error(("version",), "is required: write `version: 1`")
    elif version != 1 or isinstance(version, bool):
        findings.error(("version",), f"should be 1, the only version there is, not {version!r}")


def _units(kind: str, raw: Any, reusable: dict[str, Unit], findings: Findings, context: Context) -> list[Unit | None]:
    if raw is None:
        return []
    if not isinstance(raw, list | tuple):
        findings.error((kind,), "should be a list")
        return []
    units: list[Unit | None] = []
    for index, item in enumerate(raw):
        mark = mark_of(item)
        name = item.get("name") if isinstance(item, Mapping) else None
        unit = reusable.get(name) if isinstance(name, str) else None
        if unit is None or unit.mark is None or unit.mark != mark or not _unchanged(unit.references, context.references):
            unit = build_unit(kind, item, mark, findings.below(kind, index), context)
        if unit is not None and unit.warnings:
            findings.warnings.extend(rebased(unit, kind, index))
        units.append(unit)
    return units


def _unchanged(seen: dict[str, str], references: References) -> bool:
    return all(references.digest(reference) == digest for reference, digest in seen.items())


def _document(units: dict[str, dict[str, Unit]], policies: list[dict[str, Any]], references: dict[str, str]) -> Document:
    document: Document = {"revision": 0, "digest": ""}
    credentials: dict[str, dict[str, list[Any]]] = {}
    total = entry_hash("policies", "", policies) if policies else 0
    for kind, found in units.items():
        document[kind] = {name: unit.entry for name, unit in found.items()}
        total += sum(unit.digest for unit in found.values())
    for unit in units["consumers"].values():
        for plugin, key, value, _ in unit.credentials:
            credentials.setdefault(plugin, {})[key] = value
    document["credentials"] = credentials
    document["policies"] = policies
    document["digest"] = digest_text(total)
    return document


def _order(problem: Problem) -> list[tuple[int, str]]:
    """In the order of the file: by kind as Config lists them, then by position."""
    kinds = list(Config.model_fields)
    steps = [(step, "") if isinstance(step, int) else (0, step) for step in problem.location]
    if steps and steps[0][1] in kinds:
        steps[0] = (kinds.index(steps[0][1]) - len(kinds), "")
    return steps
