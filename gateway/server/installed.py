"""Let a worker import what was installed after the master started.

A worker is forked, so it has the master's view of what can be imported: listings of directories that were remembered, and
``.pth`` files (which editable installations need) as they were read when the interpreter started. Plugins themselves
are imported after the fork only, so an upgraded one is read anew in any case.
"""

import importlib
import os
import site
from collections.abc import Sequence


class Installed:
    """The ``.pth`` files that this interpreter has read."""

    def __init__(self, directories: Sequence[str] | None = None) -> None:
        self._directories = directories if directories is not None else [*site.getsitepackages(), site.getusersitepackages()]
        self._read = self._find()

    def refresh(self) -> None:
        """Read the files that have come or changed since."""
        found = self._find()
        for (directory, name), changed in sorted(found.items()):
            if self._read.get((directory, name)) != changed:
                site.addpackage(directory, name, None)
        self._read = found
        importlib.invalidate_caches()

    def _find(self) -> dict[tuple[str, str], int]:
        found = {}
        for directory in self._directories:
            try:
                names = [name for name in os.listdir(directory) if name.endswith(".pth")]
                found.update({(directory, name): os.stat(os.path.join(directory, name)).st_mtime_ns for name in names})
            except OSError:
                continue  # no such directory, or a file that is being replaced: it is new the next time
        return found
