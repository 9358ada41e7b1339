"""Which workers there should be: a plan that knows nothing of processes.

Each of the indexes 0 to ``count`` - 1 should have one worker of the present generation. A reload raises the generation, so every index
lacks a fresh worker and gets one, while those of before go on; only when all the fresh ones are ready are the others told to
leave. A worn worker (too many requests, too old) is succeeded the same way, alone. So no index is ever without a
worker on purpose, and one that dies at boot is tried again, at growing intervals, for as long as it takes.

Workers that live at the same time have different *slots*, which is where they write in shared memory: an index may have
two workers for a while, and two writers of one counter lose counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

#: a worker that lived this long was not killed by what killed the one before it
SETTLED_S = 10.0
FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 30.0
#: of workers that write in the shared memory of another program
NO_SLOT = -1


def slots_for(count: int) -> int:
    """Return how many workers may live at once: two generations, and some that leave slowly."""
    return 2 * count + 8


@dataclass(slots=True)
class Member:
    """A worker process."""

    pid: int
    index: int
    slot: int
    generation: int
    started: float
    ready: bool = False
    #: to be succeeded, for a reason other than a reload
    worn: bool = False
    #: when it was told to leave; 0.0 = it was not
    leaving: float = 0.0
    #: when it was told so last
    told: float = 0.0
    #: it was killed because it did not leave in time
    killed: bool = False


class Crew:
    """The workers of a node, present and wanted."""

    def __init__(self, count: int, slots: int) -> None:
        self.count = count
        self.slots = slots
        self.generation = 1
        self.members: dict[int, Member] = {}
        #: deaths of fresh workers since the last success, by index
        self.failures: dict[int, int] = {}
        self._not_before: dict[int, float] = {}

    def vacancies(self, now: float) -> list[tuple[int, int]]:
        """Return the index and the slot of each worker to start now."""
        fresh = {member.index for member in self._fresh()}
        used = {member.slot for member in self.members.values()}
        found = []
        for index in range(self.count):
            if index in fresh or now < self._not_before.get(index, 0.0):
                continue
            slot = next((slot for slot in (index, *range(self.slots)) if slot not in used), None)
            if slot is None:
                break  # every slot is taken by workers that are still leaving: go on when one has gone
            used.add(slot)
            found.append((index, slot))
        return found

    def add(self, pid: int, index: int, slot: int, now: float) -> Member:
        """Take note of a worker that was started."""
        member = self.members[pid] = Member(pid, index, slot, self.generation, now)
        return member

    def adopt(self, pid: int, index: int, now: float) -> None:
        """Take in a worker of the program that this one replaced; it is to be succeeded, and writes in other shared memory."""
        self.members[pid] = Member(pid, index, NO_SLOT, 0, now, ready=True)

    def gone(self, pid: int, now: float) -> Member | None:
        """Take note that a worker ended, whether it was told to leave or not."""
        member = self.members.pop(pid, None)
        if member is None or member.leaving or member.generation != self.generation:
            return member
        if now - member.started >= SETTLED_S:
            self.failures.pop(member.index, None)
        self.failed(member.index, now, served=member.ready)
        return member

    def failed(self, index: int, now: float, served: bool = False) -> None:
        """Take note that a worker died or could not be started: its index waits longer each time.

        The first death of one that ``served`` is answered at once: a crash should cost as little service as it can.
        """
        failures = self.failures[index] = self.failures.get(index, 0) + 1
        wait_s = 0.0 if served and failures == 1 else min(FIRST_BACKOFF_S * 2.0 ** (failures - 1), LONGEST_BACKOFF_S)
        self._not_before[index] = now + wait_s

    def wait(self, index: int, now: float) -> float:
        """Return how long it is until the next worker of this index is started."""
        return max(self._not_before.get(index, 0.0) - now, 0.0)

    def renew(self) -> None:
        """Ask for a fresh worker at every index."""
        self.generation += 1
        self.failures.clear()
        self._not_before.clear()

    def revert(self) -> list[Member]:
        """Give a renewal up: those of before stay. Returns the fresh ones, which are to leave."""
        fresh = [member for member in self.members.values() if member.generation == self.generation]
        self.generation -= 1
        self.failures.clear()
        self._not_before.clear()
        return fresh

    def complete(self) -> bool:
        """Tell whether every index has a fresh worker that is ready."""
        return {member.index for member in self._fresh() if member.ready} >= set(range(self.count))

    def dispensable(self) -> list[Member]:
        """Return the workers that can be told to leave now."""
        complete = self.complete()
        ready = {member.index for member in self._fresh() if member.ready}
        found = []
        for member in self.members.values():
            if member.leaving:
                continue
            superseded = complete and member.generation < self.generation
            if superseded or member.index >= self.count or (member.worn and member.index in ready):
                found.append(member)
        return found

    def serving(self) -> int:
        """Return how many workers are ready and not leaving."""
        return sum(member.ready and not member.leaving for member in self.members.values())

    def _fresh(self) -> Iterable[Member]:
        return (
            member
            for member in self.members.values()
            if member.generation == self.generation and not member.leaving and not member.worn and member.index < self.count
        )
