"""A worker's side of a configuration change: load, swap, say so; or keep what is in force, and say why.

Pure logic: whoever owns the socket to the agent hands messages in and gives a way to send.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from gateway.control import store
from gateway.control.load import Mismatch, apply, load, load_chunks
from gateway.control.slices import Pause
from gateway.model.snapshot import Snapshot

log = logging.getLogger("gateway.watcher")
Message = Mapping[str, Any]


class Watcher:
    """Keeps one worker on the newest configuration that works.

    ``swap`` puts a snapshot in force, or raises and leaves things as they were; it may take its time and pause, but messages have to
    be handed in one after the other. ``send(type, **fields)`` tells the agent.
    """

    def __init__(
        self,
        swap: Callable[[Snapshot], object],
        send: Callable[..., object],
        pause: Pause | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        #: in force
        self.snapshot = Snapshot() if snapshot is None else snapshot
        #: the whole was asked for, so deltas mean nothing until it comes
        self.waiting = False
        self._swap = swap
        self._send = send
        self._pause = pause

    def start(self, path: Path) -> bool:
        """Put the last good document of a file in force. Returns False, with the reason in the log, when there is none that works."""
        return self._take(lambda: store.use(path, lambda chunks: load_chunks(chunks, self._pause, self.snapshot)))

    def whole(self, message: Message) -> None:
        """Take a ``snapshot`` message: the document itself, or the ``path`` of a file that holds it.

        A file is better for a large one: it is read in slices, while a message of 20 MB takes 150 ms to parse.
        """
        self.waiting = False
        if "document" in message:
            self._take(lambda: load(message["document"], self._pause, self.snapshot))
        else:
            self.start(Path(message["path"]))

    def delta(self, message: Message) -> None:
        """Take a ``delta`` message. One that does not fit what is in force is refused, with ``"wanted": "snapshot"``."""
        if not self.waiting:
            self._take(lambda: apply(self.snapshot, message, self._pause))

    def _take(self, make: Callable[[], Snapshot]) -> bool:
        started = perf_counter()
        try:
            snapshot = make()
            if snapshot.digest != self.snapshot.digest or not snapshot.digest:
                self._swap(snapshot)
        except Mismatch as error:
            self.waiting = True
            self._send("refused", revision=self.snapshot.revision, errors=[str(error)], wanted="snapshot")
            return False
        except Exception as error:  # a plugin's constructor may raise anything; what is in force must stay
            log.exception("a configuration was not taken; revision %s stays in force", self.snapshot.revision)
            self._send("refused", revision=self.snapshot.revision, errors=[f"{type(error).__name__}: {error}"])
            return False
        self.snapshot = snapshot
        took_ms = (perf_counter() - started) * 1000
        self._send("applied", revision=snapshot.revision, digest=snapshot.digest, took_ms=round(took_ms, 3))
        return True
