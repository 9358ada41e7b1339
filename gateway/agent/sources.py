"""Where the configuration comes from. A source says when there may be something new; the compiler reads it.

A file is looked at four times a second: that works on every file system, follows symbolic links that are swapped, and
costs three system calls. inotify would save 125 ms on average and miss changes on network file systems.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

POLL_S = 0.25
#: a file written this recently may be half written: look again soon, but do not wait for ever
QUIET_S = 0.05
PATIENCE_S = 1.0

Signature = tuple[int, int, int, int, int] | None


class FileSource:
    """A configuration file, and the files that it refers to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._referred: tuple[Path, ...] = ()
        self._taken: dict[Path, Signature] = {}
        self._noticed = 0.0

    def refer(self, paths: Iterable[str | Path]) -> None:
        """Watch these files too (certificates, secrets); replaces those given before."""
        self._referred = tuple(map(Path, paths))
        self._taken = {path: self._taken.get(path, _signature(path)) for path in (self.path, *self._referred)}

    def changed(self) -> bool:
        """Tell whether a file differs from what it was the last time this returned True; the first call always does."""
        seen = {path: _signature(path) for path in (self.path, *self._referred)}
        if seen == self._taken:
            self._noticed = 0.0
            return False
        now = time.monotonic()
        self._noticed = self._noticed or now
        if self._taken and now - self._noticed < PATIENCE_S and any(map(_restless, seen.values())):
            return False
        self._noticed = 0.0
        self._taken = seen
        return True

    def forget(self) -> None:
        """Make the next look a change."""
        self._taken = {}

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look."""
        return QUIET_S if self._noticed else POLL_S


def _signature(path: Path) -> Signature:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _restless(signature: Signature) -> bool:
    """Tell whether the file may still be being written; one that is missing may be about to come back."""
    return signature is None or 0 <= time.time_ns() - signature[2] < QUIET_S * 1e9
