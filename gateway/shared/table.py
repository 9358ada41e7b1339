"""Numbers by key, shared by the workers of a node and exact among them.

Open addressing over 128-bit digests of the keys. The table is cut into stripes, each with a mutex of its own; a key
lives within ``_WINDOW`` rows of its place in one stripe, so looking it up, making it and throwing another out all
happen under that one mutex. A row is free while its first hash word is 0. That word is written last, so a process
killed half way through making a row leaves a free row, never a mixed one.

When the window is full, the row that expires first makes room: one that has expired already if there is any, else
(with equal lifetimes) the one not used for longest. A killed process may leave the values of the row it was changing
partly updated; each single value is whole, and ``repairs`` counts how often that may have happened.

A process remembers the row of a key and only checks the hash words there, which saves the digest and the search. While
a single worker lives it takes no mutex: a second one needs milliseconds to boot before it first looks at a table.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from struct import Struct
from typing import Any

from gateway.shared import mutex
from gateway.shared.arena import Arena

_STRIPES = 64
_WINDOW = 16
#: keys that a process remembers, and how long they may be; forgotten all at once, then each costs one search again
_REMEMBERED, _LONGEST = 16384, 128
#: words kept per stripe: rows in use, live rows thrown out, repairs
_IN_USE, _EVICTIONS, _REPAIRS = 0, 1, 2
_NOTES = 8
_PREFIX = "table/"
_WORDS = Struct("<QQ")

_trylock = mutex.trylock
_unlock = mutex.unlock

#: row, both hash words, first row of the window, stripe, mutex
Place = tuple[int, int, int, int, int, Any]


class SharedTable:
    """Rows of ``values`` numbers (64-bit floats), by key.

    Between ``acquire`` and ``release`` the row is this process' alone: compute, do not wait, acquire no other. What
    belongs together is best kept in one row; ``locked`` is for several. Not for use from several threads.

    >>> at = table.acquire("alice", now, 60.0)
    >>> table.values[at] += 1.0
    >>> table.release()
    """

    def __init__(self, arena: Arena, name: str, values: int = 2, rows: int = 1 << 18) -> None:
        """Open the table of this name and width, making it when there is none. ``rows`` is rounded up to whole stripes."""
        per_stripe = max(-(-rows // _STRIPES), _WINDOW)
        rows = per_stripe * _STRIPES
        locks, notes = _STRIPES * mutex.SIZE, _STRIPES * _NOTES
        size = locks + 8 * (notes + rows * (3 + values))
        region = arena.region(f"{_PREFIX}{name}/{values}", size, lambda new: mutex.prepare(new[:locks]))
        self.name = name
        self.width = values
        self._locks = mutex.handles(region[:locks])
        self._held: Any = None
        self._starts = per_stripe - _WINDOW + 1
        self._per_stripe = per_stripe
        whole, numbers = region[locks:].cast("Q"), region[locks:].cast("d")
        self._notes = numbers[:notes]
        self._first, self._second = (whole[notes + rows * n : notes + rows * (n + 1)] for n in (0, 1))
        self._expires = numbers[notes + rows * 2 : notes + rows * 3]
        #: the numbers of all rows; ``acquire`` says where a row's begin
        self.values = numbers[notes + rows * 3 :]
        self._places: dict[str | bytes, Place] = {}
        self._sharers = arena.sharers

    def acquire(self, key: str | bytes, now: float, ttl: float) -> int:
        """Lock the row of the key and return where its numbers begin in ``values``; in a new row they are 0.0.

        ``now`` is ``time.monotonic()``; the row is forgotten ``ttl`` seconds after its last use. Only one row is held
        at a time: one that was left locked, because its user raised, is unlocked first.
        """
        place = self._places.get(key)
        if place is None:
            place = self._place(key)
        row, first, second, _, _, lock = place
        if self._held is not None:
            self.release()
        if self._sharers[0] != 1:
            result = _trylock(lock)
            if result:
                self._settle(place, result)
            self._held = lock
        if self._first[row] != first or self._second[row] != second or self._expires[row] < now:
            row = self._find(key, place, now)
        self._expires[row] = now + ttl
        return row * self.width

    def release(self) -> None:
        """Unlock the row that ``acquire`` locked."""
        if self._held is not None:
            _unlock(self._held)
            self._held = None

    @contextmanager
    def locked(self, keys: Iterable[str | bytes], now: float, ttl: float) -> Iterator[list[int]]:
        """Hold the rows of several keys at once; gives where the numbers of each begin, in the order of the keys.

        Mutexes are taken in the order of the stripes, whatever the order of the keys, so that nobody waits in a circle.
        """
        self.release()
        wanted = [(key, self._places.get(key) or self._place(key)) for key in keys]
        held = []
        try:
            for place in {place[4]: place for _, place in sorted(wanted, key=lambda pair: pair[1][4])}.values():
                result = _trylock(place[5])
                if result:
                    self._settle(place, result)
                held.append(place[5])
            rows = []
            for key, place in wanted:
                rows.append(self._find(key, place, now))
                self._expires[rows[-1]] = now + 2 * ttl + 1  # the next key of this call must not throw it out
            for row in rows:
                self._expires[row] = now + ttl
            yield [row * self.width for row in rows]
        finally:
            for lock in held:
                _unlock(lock)

    def __len__(self) -> int:
        """Return the number of rows in use, those that have expired included."""
        return self._total(_IN_USE)

    @property
    def evictions(self) -> int:
        """Rows thrown out before they expired, to make room: above 0, the table is too small."""
        return self._total(_EVICTIONS)

    @property
    def repairs(self) -> int:
        """Times that a process died while it held a row."""
        return self._total(_REPAIRS)

    def _total(self, note: int) -> int:
        return int(sum(self._notes[note::_NOTES].tolist()))

    def _place(self, key: str | bytes) -> Place:
        digest = blake2b(key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key, digest_size=16).digest()
        first, second = _WORDS.unpack(digest)
        first = first or 1  # 0 = a free row
        stripe = first % _STRIPES
        start = stripe * self._per_stripe + first // _STRIPES % self._starts
        return start, first, second, start, stripe, self._locks[stripe]

    def _settle(self, place: Place, result: int) -> None:
        if mutex.settle(place[5], result):
            stripe = place[4]
            rows = self._first[stripe * self._per_stripe : (stripe + 1) * self._per_stripe].tolist()
            self._notes[stripe * _NOTES + _IN_USE] = len(rows) - rows.count(0)
            self._notes[stripe * _NOTES + _REPAIRS] += 1

    def _find(self, key: str | bytes, place: Place, now: float) -> int:
        """Return the row of the key, making it when there is none; its mutex is held."""
        _, first, second, start, stripe, lock = place
        window = self._first[start : start + _WINDOW].tolist()
        row = -1
        if first in window:
            row = next((at for at, word in enumerate(window, start) if word == first and self._second[at] == second), -1)
        if row < 0:
            row = self._make(window, place, now)
        elif self._expires[row] < now:
            self._clear(row)
        if len(key) <= _LONGEST:
            if len(self._places) >= _REMEMBERED:
                self._places.clear()
            self._places[key] = row, first, second, start, stripe, lock
        return row

    def _make(self, window: list[int], place: Place, now: float) -> int:
        _, first, second, start, stripe, _ = place
        if 0 in window:
            row = start + window.index(0)
            self._notes[stripe * _NOTES + _IN_USE] += 1
        else:
            expiries = self._expires[start : start + _WINDOW].tolist()
            soonest = min(expiries)
            row = start + expiries.index(soonest)
            if soonest >= now:
                self._notes[stripe * _NOTES + _EVICTIONS] += 1
            self._first[row] = 0
        self._clear(row)
        self._second[row] = second
        self._first[row] = first
        return row

    def _clear(self, row: int) -> None:
        for at in range(row * self.width, (row + 1) * self.width):
            self.values[at] = 0.0


def statistics(arena: Arena) -> dict[str, tuple[int, int, int]]:
    """Return, for each table of the arena, its rows in use, evictions and repairs."""
    found = {}
    for region_name in arena.names(_PREFIX):
        region = arena.find(region_name)
        assert region is not None
        start = _STRIPES * mutex.SIZE
        notes = region[start : start + 8 * _STRIPES * _NOTES].cast("d").tolist()
        rows, evictions, repairs = (int(sum(notes[note::_NOTES])) for note in (_IN_USE, _EVICTIONS, _REPAIRS))
        found[region_name.removeprefix(_PREFIX)] = rows, evictions, repairs
    return found
