"""YAML as people expect it: version 1.2's few plain words, no key twice, no tags that run code.

PyYAML implements YAML 1.1, where ``on`` and ``no`` are booleans, ``22:30`` is a number and the last of two equal keys wins. Here its
C parser only says what stands in the text, and plain words are read by the core schema of YAML 1.2.2 (section 10.3.2). Its composer
is not used either: it follows nesting on the C stack, so that 100,000 brackets would end the process.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from gateway.control.problems import Location, Problem, path_text

#: No configuration nests deeper; Python's own limit is far above.
MOST_DEPTH = 64
#: Values once aliases are written out: far above any configuration, far below what nested aliases can make of a small file.
MOST_VALUES = 10_000_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_SPELLED = {"null": None, "true": True, "false": False}
_WORDS: dict[str, bool | None] = {"": None, "~": None}
_WORDS.update({spelling: value for word, value in _SPELLED.items() for spelling in (word, word.title(), word.upper())})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ODD = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


class YamlErrors(ValueError):
    """Text that is not YAML, or not a configuration's kind of YAML."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def parse(text: str) -> Any:
    """Return the data of the one document in a text. Raises YamlErrors."""
    reader = _Reader(text)
    data = reader.document()
    if reader.problems:
        raise YamlErrors(reader.problems)
    return data


def positions(text: str, locations: list[Location]) -> Iterator[tuple[int, int]]:
    """Yield line and column, from 1, of each location, or of the nearest thing around it that exists. JSON will do too.

    Where the text cannot be read: 0 and 0.
    """
    wanted = {location[:length] for location in locations for length in range(len(location) + 1)}
    reader = _Reader(text, wanted)
    try:
        reader.document()
    except YamlErrors:
        pass  # what comes before the fault has been seen
    for location in locations:
        steps = range(len(location), -1, -1)
        yield next((reader.marks[location[:length]] for length in steps if location[:length] in reader.marks), (0, 0))


class _Reader:
    """Makes data of the parser's events, noting everything that it cannot accept, and where the wanted things are."""

    def __init__(self, text: str, wanted: set[Location] | None = None) -> None:
        self.problems: list[Problem] = []
        self.marks: dict[Location, tuple[int, int]] = {}
        self._wanted = wanted
        self._events = _events(text)
        #: anchor -> its value and how many values that is; ``None`` while it is being read
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._count = 0

    def document(self) -> Any:
        data: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._note(event, (), "has more than one document (---); one is expected")
                    break
                data = self._value(next(self._events), (), 0)
        return data

    def _value(self, event: Any, at: Location, depth: int) -> Any:
        if self._wanted is not None and at in self._wanted:
            self.marks.setdefault(at, _place(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, at)
        before, anchor = self._count, event.anchor
        self._spend(1)
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, at)
        elif depth >= MOST_DEPTH:
            raise YamlErrors([_problem(event, (), "is nested too deeply")])
        else:
            if event.tag is not None and event.tag not in ("!", _PREFIX + "map", _PREFIX + "seq"):
                self._note(event, at, f"has the tag {event.tag}; tags are not supported")
            value = self._mapping(at, depth) if isinstance(event, yaml.MappingStartEvent) else self._sequence(at, depth)
        if anchor is not None:
            self._anchors[anchor] = value, self._count - before
        return value

    def _sequence(self, at: Location, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*at, len(items)), depth + 1))
        return items

    def _mapping(self, at: Location, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        inherited: list[dict[str, Any]] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._note(event, at, "has a key that is not text")
                self._value(event, at, depth + 1)
                self._value(next(self._events), at, depth + 1)
                continue
            key = event.value
            if key == "<<" and event.implicit[0]:
                merged = self._value(next(self._events), at, depth + 1)
                inherited += merged if isinstance(merged, list) else [merged]
                continue
            below = (*at, key)
            if key in found:
                self._note(event, below, f"is there twice, first on line {lines[key]}")
            if self._wanted is not None and below in self._wanted:
                self.marks[below] = _place(event)
            lines[key] = _place(event)[0]
            found[key] = self._value(next(self._events), below, depth + 1)
        for source in inherited:
            if isinstance(source, dict):
                found = {**source, **found}
            else:
                self._note(event, at, "merges (<<) something that is not a mapping")
        return found

    def _alias(self, event: Any, at: Location) -> Any:
        if event.anchor not in self._anchors:
            self._note(event, at, f"refers to *{event.anchor}, which is nowhere above")
            return None
        known = self._anchors[event.anchor]
        if known is None:
            self._note(event, at, "contains itself")
            return None
        value, count = known
        self._spend(count)
        return value

    def _scalar(self, event: Any, at: Location) -> Any:
        text: str = event.value
        if event.tag is not None and event.tag not in ("!", _PREFIX + "str"):
            self._note(event, at, f"has the tag {event.tag}; tags are not supported")
        return _plain(text) if event.implicit[0] and not event.tag else text

    def _spend(self, values: int) -> None:
        self._count += values
        if self._count > MOST_VALUES:
            raise YamlErrors([Problem("", f"has more than {MOST_VALUES} values once aliases are written out")])

    def _note(self, event: Any, at: Location, message: str) -> None:
        self.problems.append(_problem(event, at, message))


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        message = ", ".join(filter(None, (error.context, error.problem)))
        mark: Any = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlErrors([Problem("", f"is not YAML: {message}", line=line, column=column)]) from None
    except yaml.YAMLError as error:
        raise YamlErrors([Problem("", f"is not YAML: {' '.join(str(error).split())}")]) from None


def _plain(text: str) -> Any:
    """Read a word without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 4000 else text  # Python refuses to read longer numbers
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _ODD.get(text.lower(), text)


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _problem(event: Any, at: Location, message: str) -> Problem:
    line, column = _place(event)
    return Problem(path_text(at), message, at, line=line, column=column)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # depends on how PyYAML was built
    """Writes text so that it is text in YAML 1.1 and 1.2 alike."""

    def _text(self, text: str) -> Any:
        style = "|" if "\n" in text else "'" if not isinstance(_plain(text), str) else None
        return self.represent_scalar(_PREFIX + "str", text, style=style)


_Dumper.add_representer(str, _Dumper._text)


def dump(data: Any) -> str:
    """Write data as YAML, keys in the order they have."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))
