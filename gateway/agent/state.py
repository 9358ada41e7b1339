"""The state directory of a node: its files, and the lock that keeps a second gateway out."""

import fcntl
import os
import time
from pathlib import Path
from typing import Any

import orjson

#: ``gateway status`` and the like hold the lock for an instant to see whether somebody else does
PATIENCE_S = 0.2


class StateInUse(Exception):
    """Another gateway runs from this state directory."""


class StateDirectory:
    """Where a node keeps what must outlive its processes. Only the holder of the lock writes here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: the last good configuration
        self.snapshot = path / "snapshot.json"
        #: what a check compiled, until it takes the place of the snapshot
        self.candidate = path / "snapshot.candidate.json"
        #: where workers find the agent
        self.socket = path / "agent.sock"
        self.pid_file = path / "gateway.pid"
        #: how the last reload went
        self.reload = path / "reload.json"
        #: what a check found
        self.check = path / "check.json"
        #: health of members as the agent last saw it
        self.health = path / "health.json"
        self._lock = path / "gateway.lock"

    def prepare(self) -> None:
        """Make the directory, for this user only, unless it is there. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self) -> int:
        """Take the directory and return the descriptor that holds it. Raises StateInUse, OSError."""
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        limit = time.monotonic() + PATIENCE_S
        while not _locked(fd):
            if time.monotonic() < limit:
                time.sleep(0.02)
                continue
            os.close(fd)
            raise StateInUse(f"another gateway (pid {self.pid() or 'unknown'}) runs from the state directory {self.path}")
        return fd

    def in_use(self) -> bool:
        """Tell whether a gateway runs from here; a process id file alone proves nothing."""
        try:
            fd = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _locked(fd)
        finally:
            os.close(fd)

    def pid(self) -> int | None:
        """Return the process id of the master, or ``None``."""
        try:
            return int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None

    def write_pid(self) -> None:
        """Say that this process is the master."""
        replace(self.pid_file, f"{os.getpid()}\n".encode())

    def accept(self) -> None:
        """Put the candidate in force."""
        self.candidate.replace(self.snapshot)

    def release(self) -> None:
        """Remove what would mislead when no gateway runs here."""
        self.pid_file.unlink(missing_ok=True)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def replace(path: Path, content: bytes) -> None:
    """Write a small file so that readers see the old content or the new one; it need not survive a power cut."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one when there is none, or nothing that can be read."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
