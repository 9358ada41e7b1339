"""Metrics across workers: plain numbers in shared memory, one region per worker slot, added up when somebody asks.

A region holds a directory (which series begins at which number) and the numbers. Only the worker in the slot writes;
its successor reads the directory and goes on counting, so counters never go back. The agent reads all regions.
An increment is ``values[at] += 1``, 0.1 µs; nothing is locked, because nobody else writes there.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.observe.families import BY_NAME, FAMILIES, OVERFLOW, Family
from gateway.shared.arena import Arena
from gateway.shared.table import statistics

_DIRECTORY = 4 << 20
_NUMBERS = 4 << 20
_PREFIX = "metrics/"
#: header of a region: series in the directory, octets of it used, numbers used
_COUNT, _USED, _TAKEN = 0, 1, 2
_HEADER = 64
_ENTRY = struct.Struct("<IHH")  # first number, how many, octets of the name that follows
#: label of the series that takes what is above the cap
OTHER = "(other)"
#: label values are cut to this many characters: a plugin's or a client's word must not fill the directory
_LABEL_MOST = 200

Name = tuple[str, ...]


class Metrics:
    """The series of one worker."""

    def __init__(self, arena: Arena, slot: int, most: int = 1000) -> None:
        """Go on with the series of the slot. ``most`` is how many series a metric may have."""
        region = arena.region(f"{_PREFIX}{slot}", _HEADER + _DIRECTORY + _NUMBERS)
        self._header: Any = region[:_HEADER].cast("Q")
        self._directory = region[_HEADER : _HEADER + _DIRECTORY]
        #: the numbers themselves, for whoever knows where a series begins
        self.values: Any = region[_HEADER + _DIRECTORY :].cast("d")
        self.most = most
        self._series: dict[Name, int] = {}
        self._made: dict[str, int] = {}
        for name, at, _ in _entries(region):
            self._remember(name, at)
        for family in FAMILIES:  # so that there is always room for these
            if family.name not in self._made:
                self._make((family.name, *[OTHER] * len(family.labels)), family)

    def at(self, family: Family, *labels: str) -> int:
        """Return where the series begins in ``values``, making it when there is none. Keep the answer: this takes a microsecond."""
        name = (family.name, *labels)
        found = self._series.get(name)
        return self._make(name, family) if found is None else found

    def add(self, family: Family, *labels: str, by: float = 1.0) -> None:
        """Count something; for what does not happen in every exchange."""
        self.values[self.at(family, *labels)] += by

    def _make(self, name: Name, family: Family) -> int:
        name = (name[0], *[label[:_LABEL_MOST].replace("\0", " ") for label in name[1:]])
        at = self._series.get(name)
        if at is not None:
            return at
        text = "\0".join(name).encode("utf-8", "replace")
        taken, used = self._header[_TAKEN], self._header[_USED]
        full = used + _ENTRY.size + len(text) > _DIRECTORY or taken + family.cells > len(self.values)
        if full or (self._made.get(family.name, 0) > self.most and family is not OVERFLOW):
            if family is not OVERFLOW:
                self.add(OVERFLOW, family.name)
            return self._series[(family.name, *[OTHER] * len(family.labels))]
        _ENTRY.pack_into(self._directory, used, taken, family.cells, len(text))
        self._directory[used + _ENTRY.size : used + _ENTRY.size + len(text)] = text
        self._header[_USED] = used + _ENTRY.size + len(text)
        self._header[_TAKEN] = taken + family.cells
        self._header[_COUNT] += 1  # last: from now on readers see it
        self._remember(name, taken)
        return int(taken)

    def _remember(self, name: Name, at: int) -> None:
        self._series[name] = at
        self._made[name[0]] = self._made.get(name[0], 0) + 1


def render(arena: Arena) -> str:
    """Return the metrics of all workers, added up, and of the shared tables, in the text format of Prometheus."""
    families: dict[str, dict[Name, list[float]]] = {family.name: {} for family in FAMILIES}
    for region_name in arena.names(_PREFIX):
        region = arena.find(region_name)
        assert region is not None
        values: Any = region[_HEADER + _DIRECTORY :].cast("d")
        for (name, *labels), at, cells in _entries(region):
            numbers = values[at : at + cells].tolist()
            sums = families[name].setdefault(tuple(labels), numbers)
            if sums is not numbers:
                sums[:] = map(float.__add__, sums, numbers)
    lines: list[str] = []
    for name, series in families.items():
        family = BY_NAME[name]
        shown = {key: numbers for key, numbers in series.items() if not key or set(key) != {OTHER} or any(numbers)}
        if shown:
            lines += _head(name, family.help, family.kind)
            for key, numbers in sorted(shown.items()):
                lines += _series(family, key, numbers)
    lines += _tables(arena)
    return "".join(lines)


def _series(family: Family, labels: Name, cells: list[float]) -> Iterator[str]:
    pairs = ",".join(f'{key}="{_escape(value)}"' for key, value in zip(family.labels, labels, strict=True))
    if not family.buckets:
        yield f"{family.name}{{{pairs}}} {_number(cells[0])}\n" if pairs else f"{family.name} {_number(cells[0])}\n"
        return
    count = 0.0
    for bound, cell in zip((*family.buckets, "+Inf"), cells, strict=False):
        count += cell
        yield f'{family.name}_bucket{{{pairs},le="{bound}"}} {_number(count)}\n'
    yield f"{family.name}_sum{{{pairs}}} {cells[-1]!r}\n{family.name}_count{{{pairs}}} {_number(count)}\n"


def _tables(arena: Arena) -> Iterable[str]:
    found = statistics(arena)
    columns = (
        ("gateway_shared_table_rows", "Rows in use, those that have expired included.", "gauge"),
        ("gateway_shared_table_evictions_total", "Rows thrown out before they expired: the table is too small.", "counter"),
        ("gateway_shared_table_repairs_total", "Times that a worker died while it held a row.", "counter"),
    )
    for column, (name, text, kind) in enumerate(columns if found else ()):
        yield from _head(name, text, kind)
        for table, numbers in sorted(found.items()):
            yield f'{name}{{table="{_escape(table)}"}} {numbers[column]}\n'


def _entries(region: memoryview) -> Iterator[tuple[Name, int, int]]:
    """Give the series of a region that this version knows: name and labels, first number, how many."""
    header: Any = region[:_HEADER].cast("Q")
    directory = region[_HEADER : _HEADER + _DIRECTORY]
    here = 0
    for _ in range(header[_COUNT]):
        at, cells, octets = _ENTRY.unpack_from(directory, here)
        here += _ENTRY.size + octets
        name = tuple(bytes(directory[here - octets : here]).decode().split("\0"))
        family = BY_NAME.get(name[0])
        if family is not None and family.cells == cells and len(family.labels) == len(name) - 1:
            yield name, at, cells


def _head(name: str, text: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {text}\n", f"# TYPE {name} {kind}\n"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
