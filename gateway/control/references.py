"""References during a compile: each is resolved once, remembered by whoever used it, and never written out."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.control.problems import Findings, Location
from gateway.model.references import Unresolved, is_reference, references_in, resolve

_FILE = "$file:"


class References:
    """What references stand for, during one compile.

    ``base`` is the directory of the configuration file: relative paths start there. Without one they are refused, because
    agent and workers would each read them from wherever they were started.
    """

    def __init__(self, base: Path | None = None) -> None:
        self.base = base
        self._values: dict[str, str | Unresolved] = {}
        self._used: dict[str, str] = {}

    @property
    def files(self) -> frozenset[str]:
        """Every file that was referred to, absolute: a change of one is a change of the configuration."""
        return frozenset(reference.removeprefix(_FILE) for reference in self._values if reference.startswith(_FILE))

    def watch(self) -> Callable[[], dict[str, str]]:
        """Start a list of the references used from now on; the result returns it, with a digest of each value."""
        used: dict[str, str] = {}
        self._used = used
        return lambda: used

    def digest(self, reference: str) -> str:
        """Return a digest of what a reference stands for now (empty when it cannot be resolved)."""
        value = self._resolve(reference)
        return "" if isinstance(value, Unresolved) else _digest(value)

    def value(self, text: str, findings: Findings, location: Location = ()) -> str | None:
        """Return what a text stands for, itself when it is no reference; note an error and return ``None`` when it cannot be had."""
        if not is_reference(text):
            return text
        absolute = _absolute(text, self.base)
        self._used[absolute] = self.digest(absolute)
        value = self._resolve(absolute)
        if isinstance(value, Unresolved):
            findings.error(location, str(value))
            return None
        return value

    def settings(self, settings: Any, findings: Findings) -> Any:
        """Return settings with references replaced by values; those that cannot be resolved are noted and stay."""
        places = list(references_in(settings))
        if not places:
            return settings
        values = {text: self.value(text, findings, location) for location, text in places}
        return _replaced(settings, {text: value for text, value in values.items() if value is not None})

    def absolute(self, settings: Any) -> Any:
        """Return settings whose references to files do not depend on the working directory."""
        places = {text: _absolute(text, self.base) for _, text in references_in(settings)}
        return _replaced(settings, places) if places else settings

    def seen(self, settings: Any) -> str:
        """Return a digest of the files that some settings refer to, empty when there are none. References must be absolute."""
        files = sorted({text for _, text in references_in(settings) if text.startswith(_FILE)})
        return _digest("".join(map(self.digest, files))) if files else ""

    def _resolve(self, reference: str) -> str | Unresolved:
        if reference not in self._values:
            try:
                if reference.startswith(_FILE) and not reference.startswith(_FILE + "/"):
                    raise Unresolved(f"{reference!r} should be absolute, such as $file:/etc/gateway/key")
                self._values[reference] = resolve(reference)
            except Unresolved as error:
                self._values[reference] = error
        return self._values[reference]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _absolute(reference: str, base: Path | None) -> str:
    if base is None or not reference.startswith(_FILE):
        return reference
    return _FILE + os.path.normpath(base.absolute() / reference.removeprefix(_FILE))


def _replaced(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, str):
        return values.get(value, value)
    if isinstance(value, dict):
        return {key: _replaced(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, values) for item in value]
    return value
