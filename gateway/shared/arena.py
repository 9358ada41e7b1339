"""Memory that the master, every worker and the agent of a node share: mapped before the fork, handed out by name.

The arena is a memfd. Workers inherit the mapping by fork; the agent, which is executed, gets the descriptor and maps
it again. So that all of them find the same regions, the directory of names lives in the arena itself: an entry is
complete before the count of entries that publishes it grows, and only creation takes a lock (a byte-range lock, which
the kernel drops when its holder dies). Regions are never given back: the file is sparse, an untouched page costs
nothing, and what refers to a region by name (a policy, a worker index) comes back to it after a reload.
"""

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MAGIC = 0x4741544557415901
_PAGE = mmap.PAGESIZE
#: header: magic, size, octets handed out, entries published, workers alive
_SIZE, _USED, _COUNT, _SHARERS = 1, 2, 3, 4
_HEADER = 64
_ENTRY = 128
_NAME_MOST = _ENTRY - 17
_ENTRIES_MOST = 1022
_DIRECTORY = _HEADER + _ENTRIES_MOST * _ENTRY

Prepare = Callable[[memoryview], None]


class ArenaFull(Exception):
    """No room for another region, or for its name."""


class Arena:
    """Named regions of zeroed memory. Every process that maps the same descriptor finds the same ones."""

    def __init__(self, size: int = 1 << 32, fd: int | None = None) -> None:
        """Make an arena of ``size`` octets, or map the one behind ``fd``, whose size is then taken from it.

        The size is a bound on addresses, not on memory: enough for the metrics of 256 workers and some hundred tables.
        """
        if fd is None:
            self.fd = os.memfd_create("gateway-arena")
            os.ftruncate(self.fd, size)
        else:
            self.fd = fd
            size = os.fstat(fd).st_size
        self._map = mmap.mmap(self.fd, size)
        self._map.madvise(mmap.MADV_DONTDUMP)
        self._octets = memoryview(self._map)
        self._header = self._octets[:_HEADER].cast("Q")
        #: one word: how many workers are alive; 0 = nobody counts. See ``Board``
        self.sharers = self._header[_SHARERS : _SHARERS + 1]
        self._known: dict[str, memoryview] = {}
        self._seen = 0
        if fd is None:
            self._header[_SIZE] = size
            self._header[_USED] = -(-_DIRECTORY // _PAGE) * _PAGE
            self._header[0] = _MAGIC
        elif self._header[0] != _MAGIC:
            raise ValueError("the descriptor is not an arena of this version")

    def region(self, name: str, size: int, prepare: Prepare | None = None) -> memoryview:
        """Return the region of this name, making it when there is none.

        ``prepare`` gets the new region before any other process can see it. Raises ArenaFull, and ValueError when
        the region exists with another size.
        """
        found = self.find(name)
        if found is None:
            with self.lock():
                found = self.find(name)
                if found is None:
                    found = self._create(name, size, prepare)
        if len(found) != size:
            raise ValueError(f"region {name!r} has {len(found)} octets, not {size}")
        return found

    def worker_region(self, index: int, name: str, size: int) -> memoryview:
        """Return a region that belongs to the worker of this index; its successor finds it as it was left."""
        return self.region(f"worker/{index}/{name}", size)

    def find(self, name: str) -> memoryview | None:
        """Return the region of this name, or ``None``."""
        if name not in self._known:
            self._refresh()
        return self._known.get(name)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of all regions that begin so, oldest first."""
        self._refresh()
        return [name for name in self._known if name.startswith(prefix)]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the directory. Never hold it across a wait."""
        fcntl.lockf(self.fd, fcntl.LOCK_EX, _HEADER)
        try:
            yield
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, _HEADER)

    def _create(self, name: str, size: int, prepare: Prepare | None) -> memoryview:
        octets = name.encode()
        header = self._header
        count, start = header[_COUNT], header[_USED]
        end = start + -(-size // _PAGE) * _PAGE
        if not 0 < len(octets) <= _NAME_MOST:
            raise ValueError(f"a region's name has 1 to {_NAME_MOST} octets")
        if count == _ENTRIES_MOST or end > header[_SIZE]:
            raise ArenaFull(f"no room in the arena for {name!r} ({size} octets, {header[_SIZE] - start} left, {count} regions)")
        region = self._octets[start : start + size]
        if prepare:
            prepare(region)
        at = _HEADER + count * _ENTRY
        self._octets[at : at + 16] = start.to_bytes(8, "little") + size.to_bytes(8, "little")
        self._octets[at + 16] = len(octets)
        self._octets[at + 17 : at + 17 + len(octets)] = octets
        header[_USED] = end
        header[_COUNT] = count + 1
        self._refresh()
        return self._known[name]

    def _refresh(self) -> None:
        octets = self._octets
        while self._seen < self._header[_COUNT]:
            at = _HEADER + self._seen * _ENTRY
            start, size = (int.from_bytes(octets[here : here + 8], "little") for here in (at, at + 8))
            name = bytes(octets[at + 17 : at + 17 + octets[at + 16]]).decode()
            self._known[name] = octets[start : start + size]
            self._seen += 1

    def close(self) -> None:
        """Close the descriptor; the memory itself goes when the last region in use does."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
