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
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.control.checks import check_together, find_equal_credentials, rebased
from gateway.control.digest import digest_text, whole_hash
from gateway.control.load import load
from gateway.control.problems import ConfigErrors, Findings, Problem, did_you_mean
from gateway.control.references import References
from gateway.control.schema import KINDS, Config
from gateway.control.slices import uncollected
from gateway.control.units import Context, Unit, build_observe, build_policies, build_unit, mark_of
from gateway.model.snapshot import Snapshot

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry

Document = dict[str, Any]
Tables = dict[str, dict[str, list[Any]]]


@dataclass
class Compiled:
    """A configuration that is in order."""

    #: what is stored, sent to workers and compared: one JSON object
    document: Document
    #: what is allowed but probably not meant
    warnings: list[Problem]
    #: files that the configuration refers to; when one changes, compile again
    files: frozenset[str]
    units: dict[str, dict[str, Unit]] = field(repr=False)
    #: what the verdicts depend on beside the objects: plugins, strictness, base directory
    judged_with: tuple["Registry", bool, Path | None] = field(repr=False)

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
        return Compiled({**self.document, "revision": revision}, self.warnings, self.files, self.units, self.judged_with)


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
    with uncollected():
        return _compile(data, previous, Context(registry, References(base), lenient), revision)


def _compile(data: object, previous: Compiled | None, context: Context, revision: int | None) -> Compiled:
    findings = Findings()
    judged_with = (context.registry, context.lenient, context.references.base)
    if not isinstance(data, Mapping):
        findings.error((), "a configuration is a mapping that begins with `version: 1`")
        raise ConfigErrors(findings.errors)
    _check_root(data, findings)
    reusable = previous.units if previous is not None and previous.judged_with == judged_with else {}
    units = {kind: _units(kind, data.get(kind), reusable.get(kind, {}), findings, context) for kind in KINDS}
    wholes = {
        "policies": build_policies(data.get("policies"), findings.below("policies"), context),
        "observe": build_observe(data.get("observe"), findings.below("observe"), context),
    }
    check_together(units, findings)
    found = {kind: {unit.name: unit for unit in units[kind] if unit is not None} for kind in KINDS}
    credentials = _credentials(found["consumers"], previous if reusable else None)
    if credentials is None:
        find_equal_credentials(units["consumers"], findings)
    if findings.errors:
        raise ConfigErrors(sorted(findings.errors, key=_order), sorted(findings.warnings, key=_order))
    assert credentials is not None
    document = _document(found, wholes, credentials)
    if revision is None:
        before = previous.document if previous is not None else {"revision": 0, "digest": ""}
        revision = before["revision"] + (before["digest"] != document["digest"])
    document["revision"] = revision
    return Compiled(document, sorted(findings.warnings, key=_order), context.references.files, found, judged_with)


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
    # Certificates end by themselves: once a day each is looked at again.
    today = datetime.now(UTC).toordinal() if kind == "certificates" else 0
    for index, item in enumerate(raw):
        mark = mark_of((today, item)) if today else mark_of(item)
        unit = reusable.get(name) if isinstance(item, dict) and isinstance(name := item.get("name"), str) else None
        if unit is None or unit.mark is None or unit.mark != mark or (unit.references and _moved(unit, context.references)):
            unit = build_unit(kind, item, mark, findings.below(kind, index), context)
        if unit is not None and unit.warnings:
            findings.warnings.extend(rebased(unit, kind, index))
        units.append(unit)
    return units


def _moved(unit: Unit, references: References) -> bool:
    return any(references.digest(reference) != digest for reference, digest in unit.references.items())


def _credentials(units: dict[str, Unit], previous: Compiled | None) -> Tables | None:
    """Return plugin -> lookup key -> entry, ``None`` when two consumers share a credential. Starts from the tables before, if any."""
    tables: Tables = {}
    before: dict[str, Unit] = {}
    if previous is not None:
        before = previous.units["consumers"]
        tables = {plugin: dict(table) for plugin, table in previous.document["credentials"].items()}
        for name, unit in before.items():
            if units.get(name) is not unit:
                for plugin, key, _, _ in unit.credentials:
                    del tables[plugin][key]
    expected = sum(map(len, tables.values()))
    for name, unit in units.items():
        if before.get(name) is not unit and unit.credentials:
            expected += len(unit.credentials)
            for plugin, key, entry, _ in unit.credentials:
                tables.setdefault(plugin, {})[key] = entry
    tables = {plugin: table for plugin, table in tables.items() if table}
    return tables if sum(map(len, tables.values())) == expected else None


def _document(units: dict[str, dict[str, Unit]], wholes: dict[str, Any], credentials: Tables) -> Document:
    document: Document = {"revision": 0, "digest": ""}
    total = sum(whole_hash(kind, value) for kind, value in wholes.items())
    for kind, found in units.items():
        document[kind] = {name: unit.entry for name, unit in found.items()}
        total += sum([unit.digest for unit in found.values()])
    return {**document, "credentials": credentials, **wholes, "digest": digest_text(total)}


def _order(problem: Problem) -> list[tuple[int, str]]:
    """In the order of the file: by kind as Config lists them, then by position."""
    kinds = list(Config.model_fields)
    steps = [(step, "") if isinstance(step, int) else (0, step) for step in problem.location]
    if steps and steps[0][1] in kinds:
        steps[0] = (kinds.index(steps[0][1]) - len(kinds), "")
    return steps
