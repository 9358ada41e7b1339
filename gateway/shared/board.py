"""What the processes of a node tell each other in single words: who lives, who is ready, which revision is in force.

Workers that live at the same time have different slots (a reload has two workers for one index for a while). The
master writes who occupies a slot; the worker in it writes the rest of its cell; everybody reads.
"""

from typing import Any

from gateway.shared.arena import Arena

SLOTS = 256
_WORDS = 16
#: before the cells: one row of words for the node
_NODE = _WORDS


class _Word:
    """A number in shared memory, as an attribute; whole numbers are exact up to 2**53."""

    def __init__(self, at: int, kind: type) -> None:
        self._at = at
        self._kind = kind

    def __get__(self, owner: Any, _: type) -> Any:
        return self._kind(owner.words[self._at])

    def __set__(self, owner: Any, value: float) -> None:
        owner.words[self._at] = value


class Cell:
    """The words of one worker."""

    #: 0 = nobody has this slot, -1 = a worker is about to
    pid = _Word(0, int)
    index = _Word(1, int)
    generation = _Word(2, int)
    #: it accepts connections
    ready = _Word(3, bool)
    #: it was told to leave, and finishes what runs
    draining = _Word(4, bool)
    #: ``time.monotonic()`` of its last sign of life
    heartbeat = _Word(5, float)
    #: revision of the configuration in force in it
    revision = _Word(6, int)
    #: client connections open, and exchanges running
    connections = _Word(7, int)
    in_flight = _Word(8, int)
    #: ``time.time()`` when it started
    started = _Word(9, float)
    #: exchanges it has begun; the master replaces a worker that has had enough
    requests = _Word(10, int)

    def __init__(self, words: Any) -> None:
        self.words = words


class Board:
    """The words of the node and a ``Cell`` per slot."""

    #: no new traffic is wanted: readiness fails
    draining = _Word(0, bool)
    #: workers started since the master did, and those of them that took the place of one that died
    starts = _Word(1, int)
    restarts = _Word(2, int)
    #: revision of the last configuration that was accepted, and ``time.time()`` of it
    revision = _Word(3, int)
    revised = _Word(4, float)
    #: process id of the agent that came up last
    agent = _Word(5, int)

    def __init__(self, arena: Arena) -> None:
        self.words: Any = arena.region("board", 8 * (_NODE + SLOTS * _WORDS)).cast("d")
        self.cells = tuple(Cell(self.words[at : at + _WORDS]) for at in range(_NODE, _NODE + SLOTS * _WORDS, _WORDS))
        self._sharers = arena.sharers

    def occupy(self, slot: int, index: int, pid: int = -1) -> Cell:
        """Give the slot to a worker. Called by the master before it forks, so that tables are guarded from then on."""
        cell = self.cells[slot]
        for at in range(_WORDS):
            cell.words[at] = 0.0
        cell.pid, cell.index = pid, index
        self._count()
        return cell

    def vacate(self, slot: int) -> None:
        """Take the slot back from a worker that ended."""
        self.cells[slot].pid = 0
        self.cells[slot].ready = False
        self._count()

    def occupied(self) -> list[int]:
        """Return the slots that have a worker."""
        return [slot for slot, cell in enumerate(self.cells) if cell.pid]

    def _count(self) -> None:
        self._sharers[0] = len(self.occupied())
