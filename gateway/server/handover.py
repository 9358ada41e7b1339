"""What one program of the master leaves to the next, which takes its place in the same process (USR2).

The process id stays, so workers and agent remain children, and sockets and the lock of the state directory stay open. Shared
memory does not: its layout belongs to a program, so the new one starts with empty counters.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import orjson

_VARIABLE = "GATEWAY_HANDOVER"


@dataclass(slots=True)
class Handover:
    """Descriptors and processes."""

    lock: int
    #: -1 = there is no management address
    management: int
    #: sockets that the master bound, and those that came from systemd
    ours: list[int] = field(default_factory=list)
    foreign: list[int] = field(default_factory=list)
    #: process id and index
    workers: list[tuple[int, int]] = field(default_factory=list)
    agents: list[int] = field(default_factory=list)
    #: number of the reload that this is
    reload: int = 0

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Make the descriptors outlive the program, and return the environment that tells of them."""
        self._inherit(True)
        return {**environment, _VARIABLE: orjson.dumps(asdict(self)).decode()}

    @classmethod
    def find(cls) -> "Handover | None":
        """Return what the program before this one left, or ``None``. Children inherit nothing of it."""
        found = os.environ.pop(_VARIABLE, "")
        if not found:
            return None
        handover = cls(**orjson.loads(found))
        handover._inherit(False)
        return handover

    def revoke(self) -> None:
        """Take it back: the program could not be replaced."""
        self._inherit(False)

    def _inherit(self, inheritable: bool) -> None:
        for fd in (self.lock, self.management, *self.ours, *self.foreign):
            if fd >= 0:
                os.set_inheritable(fd, inheritable)
