"""Configuration files: YAML or JSON, one file or a directory of them, and where in them each problem is."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gateway.control import yamlfile
from gateway.control.compile import Compiled, compile_config
from gateway.control.problems import ConfigErrors, Location, Problem, path_text
from gateway.control.slices import uncollected

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry

SUFFIXES = (".yaml", ".yml", ".json")
#: JSON files up to this size are searched for repeated keys, which costs ten times as much as parsing. Larger ones come from programs.
_SEARCHED_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    #: position of its first entry in each list of the merged configuration
    starts: dict[str, int]


class Source:
    """What was read. In a directory the lists of all files are put together, in order of file names."""

    def __init__(self, path: Path, files: Sequence[_File], data: Any) -> None:
        self.path = path
        self.data = data
        self._files = files

    @property
    def base(self) -> Path:
        """Where relative references start."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def files(self) -> frozenset[str]:
        """Everything whose change is a change of the configuration."""
        return frozenset(str(file.path.absolute()) for file in self._files) | {str(self.path.absolute())}

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return the problems with file and line, in that order."""
        found = list(problems)
        by_file: dict[int, list[tuple[int, Location]]] = {}
        for index, problem in enumerate(found):
            number, location = self._origin(problem.location)
            by_file.setdefault(number, []).append((index, location))
        for number, places in by_file.items():
            file = self._files[number]
            marks = yamlfile.positions(file.text, [location for _, location in places])
            for (index, _), (line, column) in zip(places, marks, strict=True):
                found[index] = replace(found[index], file=str(file.path), line=line, column=column)
        return sorted(found, key=lambda problem: (problem.file, problem.line, problem.column))

    def _origin(self, location: Location) -> tuple[int, Location]:
        """Return the file that a location of the merged configuration is in, and the location there."""
        if len(self._files) > 1 and location:
            key = str(location[0])
            for number in range(len(self._files) - 1, -1, -1):
                start = self._files[number].starts.get(key)
                if start is not None and (len(location) < 2 or not isinstance(location[1], int) or location[1] >= start):
                    position = (location[1] - start,) if len(location) > 1 and isinstance(location[1], int) else location[1:2]
                    return number, (key, *position, *location[2:])
        return 0, location


def read_source(path: Path | str) -> Source:
    """Read a file, a directory, or ``-`` for standard input. Raises ConfigErrors when there is something that cannot be read."""
    with uncollected():  # a large file is parsed seven times as fast without collections
        return _read(path)


def _read(path: Path | str) -> Source:
    if str(path) == "-":
        text = sys.stdin.read()
        file = _File(Path("-"), text, {})
        return Source(Path("-"), [file], _parse(file))
    path = Path(path)
    paths = [path]
    if path.is_dir():
        paths = sorted(found for found in path.iterdir() if found.suffix in SUFFIXES and not found.name.startswith("."))
        if not paths:
            raise ConfigErrors([Problem("", f"there is no file *.yaml, *.yml or *.json in {path}")])
    problems: list[Problem] = []
    files: list[_File] = []
    parsed: list[Any] = []
    for found in paths:
        try:
            file = _File(found, found.read_text("utf-8"), {})
            parsed.append(_parse(file))
            files.append(file)
        except ConfigErrors as error:
            problems += error.problems
        except OSError as error:
            problems.append(Problem("", f"cannot be read: {error.strerror}", file=str(found)))
        except UnicodeDecodeError as error:
            problems.append(Problem("", f"is not UTF-8 text (octet {error.start})", file=str(found)))
    data = _merged(files, parsed, problems) if path.is_dir() and not problems else parsed[0] if parsed else None
    if problems:
        raise ConfigErrors(problems)
    return Source(path, files, data)


def compile_file(path: Path | str, registry: "Registry", previous: Compiled | None = None, *, lenient: bool = False) -> Compiled:
    """Read and compile; problems and warnings say where they are. Raises ConfigErrors."""
    source = read_source(path)
    try:
        compiled = compile_config(source.data, registry, previous, lenient=lenient, base=source.base)
    except ConfigErrors as error:
        raise ConfigErrors(source.placed(error.problems), source.placed(error.warnings)) from None
    return replace(compiled, warnings=source.placed(compiled.warnings), files=compiled.files | source.files)


def _parse(file: _File) -> Any:
    if file.path.suffix == ".json" or file.text.lstrip()[:1] == "{":
        try:
            data = orjson.loads(file.text)
        except orjson.JSONDecodeError as error:
            problem = Problem("", f"is not JSON: {error.msg}", file=str(file.path), line=error.lineno, column=error.colno)
            raise ConfigErrors([problem]) from None
        repeated = _repeated_keys(file.text) if len(file.text) <= _SEARCHED_BYTES else []
        if repeated:
            raise ConfigErrors([Problem(key, "is there twice in one object", file=str(file.path)) for key in repeated])
        return data
    try:
        return yamlfile.parse(file.text)
    except yamlfile.YamlErrors as error:
        raise ConfigErrors([replace(problem, file=str(file.path)) for problem in error.problems]) from None


def _repeated_keys(text: str) -> list[str]:
    repeated: list[str] = []

    def see(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            repeated.extend(key for key in dict.fromkeys(keys) if keys.count(key) > 1)

    json.loads(text, object_pairs_hook=see)
    return repeated


def _merged(files: Sequence[_File], parsed: Sequence[Any], problems: list[Problem]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for file, data in zip(files, parsed, strict=True):
        if not isinstance(data, dict):
            problems.append(Problem("", "should be a mapping that begins with `version: 1`", file=str(file.path)))
            continue
        for key, value in data.items():
            if isinstance(value, list) and isinstance(merged.get(key, []), list):
                file.starts[key] = len(merged.setdefault(key, []))
                merged[key] += value
            elif key not in merged or merged[key] is None or merged[key] == value:
                file.starts[key] = 0
                merged[key] = value
            elif value is not None:
                problems.append(Problem(path_text((key,)), "is in another file already, and differs", (key,), file=str(file.path)))
    return merged
