"""What the agent knows of the configuration in force, and how it brings workers there."""

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.agent import frames
from gateway.agent.frames import Message

#: changes remembered, so that a worker that was away for a moment gets those it missed and not the whole
REMEMBERED = 64
#: octets they may have together
REMEMBERED_OCTETS = 1 << 22


class Configuration:
    """The configuration in force, and the last one that was refused."""

    def __init__(self, path: Path) -> None:
        #: file with the whole document, for workers that cannot be helped with less
        self.path = path
        self.revision = 0
        self.digest = ""
        self.listeners: Mapping[str, Any] = {}
        self.pools: Mapping[str, Any] = {}
        #: wall clock
        self.since = 0.0
        self.took_ms = 0.0
        self.warnings: list[Any] = []
        #: plugins that could not be loaded, and why
        self.failed_plugins: Mapping[str, str] = {}
        #: ``problems`` of what the source says now, and ``at``, unless it is what is in force
        self.refused: Message | None = None
        #: trouble beside the configuration itself, such as a full disk
        self.trouble = ""
        self.changes = 0
        self.refusals = 0
        self._history: deque[tuple[str, str, bytes]] = deque()

    def take(self, answer: Message, delta: bytes = b"") -> bytes:
        """Take over what the compiler answered; return the frame for workers, which may be empty."""
        kind = answer["type"]
        self.failed_plugins = answer.get("failed_plugins", self.failed_plugins)
        self.warnings = answer.get("warnings", self.warnings)
        if kind == "refused":
            self.refusals += 1
            self.refused = {"at": time.time(), "problems": answer["problems"]}
            return b""
        if kind != "stored":
            self.refused = None
        if kind == "unchanged":
            return b""
        before, self.digest = self.digest, answer["digest"]
        self.revision = answer["revision"]
        self.listeners = answer["listeners"]
        self.pools = answer.get("pools", self.pools)
        self.since = time.time()
        if kind == "stored":
            return b""
        self.changes += 1
        self.took_ms = answer["took_ms"]
        framed = frames.frame(delta)
        if before:
            self._remember(before, framed)
        return framed

    def fail(self, reason: str) -> None:
        """Take note that the source could not be compiled, for a reason that lies with us."""
        self.refusals += 1
        self.refused = {"at": time.time(), "problems": [{"path": "", "message": reason}]}

    def catch_up(self, digest: str) -> bytes:
        """Return the frames that lead from a configuration to the one in force."""
        if digest == self.digest or not self.digest:
            return b""
        missed: list[bytes] = []
        for start, end, framed in self._history:
            if missed or start == digest:
                missed.append(framed)
            if end == self.digest and missed:
                return b"".join(missed)
        return self.whole()

    def whole(self) -> bytes:
        """Return the frame that sends a worker to the file with the whole document, which it reads in slices."""
        return frames.encode({"type": "snapshot", "revision": self.revision, "digest": self.digest, "path": str(self.path)})

    def _remember(self, before: str, framed: bytes) -> None:
        history = self._history
        if history and history[-1][1] != before:
            history.clear()
        history.append((before, self.digest, framed))
        while len(history) > REMEMBERED or sum(len(change) for _, _, change in history) > REMEMBERED_OCTETS:
            history.popleft()
