"""What is wrong with a configuration: every problem, with its path."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

Location = tuple[str | int, ...]
_PLAIN = re.compile(r"[A-Za-z0-9_$-]+")


def path_text(location: Location) -> str:
    """Write a location the way people do: ``routes[3].policies[0].config``."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or looks wrong (a warning). Never holds a secret.

    ``line`` counts from 1 and is 0 when the configuration did not come from a file, like the empty ``file``.
    """

    path: str
    message: str
    location: Location = field(default=(), compare=False, repr=False)
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def as_json(self) -> dict[str, Any]:
        """Return what ``gateway check --json`` prints of it."""
        found: dict[str, Any] = {"path": self.path, "message": self.message}
        found.update({key: getattr(self, key) for key in ("file", "line", "column") if getattr(self, key)})
        return found


class ConfigErrors(Exception):
    """A configuration cannot be used; ``problems`` has every reason, ``warnings`` what else looked wrong."""

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__(problems, warnings)
        self.problems = list(problems)
        self.warnings = list(warnings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class Findings:
    """Collects problems below one place; children share the lists."""

    __slots__ = ("errors", "warnings", "base")

    def __init__(self, base: Location = (), errors: list[Problem] | None = None, warnings: list[Problem] | None = None) -> None:
        self.base = base
        self.errors: list[Problem] = [] if errors is None else errors
        self.warnings: list[Problem] = [] if warnings is None else warnings

    def below(self, *steps: str | int) -> "Findings":
        """Return a collector for a deeper place."""
        return Findings((*self.base, *steps), self.errors, self.warnings)

    def error(self, location: Location, message: str) -> None:
        """Note what must be put right first; the location is relative."""
        whole = (*self.base, *location)
        self.errors.append(Problem(path_text(whole), message, whole))

    def warn(self, location: Location, message: str) -> None:
        """Note what is allowed and probably not meant; the location is relative."""
        whole = (*self.base, *location)
        self.warnings.append(Problem(path_text(whole), message, whole))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` when one of the known words is close, else nothing."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
