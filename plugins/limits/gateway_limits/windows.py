"""The arithmetic of limits: numbers of a shared row in, a verdict out. No clock and no lock in here.

A *rolling* window is a leaky bucket used as a meter (ITU-T I.371, the same verdicts as GCRA): each request adds one to
a level that sinks by requests / per_s, and conforms while the level stays within ``burst``. From rest, ``burst``
requests pass at once; in any t seconds at most burst + t * requests / per_s + 1/64 pass. That is a fixed window's
promise without its edge, where twice the limit may pass in an instant. The level and its time are kept, rather than
GCRA's one arrival time, because sums of small numbers stay exact, and because a level keeps its meaning when an
operator changes the rate.

A *fixed* window counts from one multiple of per_s to the next, in UTC: for quotas that start anew at a known time.
"""

from __future__ import annotations

from typing import Protocol

#: of a request
_ROOM = 1 / 64
#: how many more requests conform now, the seconds until all do, the window's name
State = tuple[int, float, bytes]


class Window(Protocol):
    """A limit, and how it uses its numbers of a row: ``values[at]`` and, where ``size`` is 2, ``values[at + 1]``."""

    #: name in the RateLimit headers
    label: bytes
    size: int
    #: changes when numbers in a row would be misread
    layout: str
    #: the limit itself, as RateLimit-Policy says it
    requests: int
    per_s: float

    def waits(self, values: memoryview[float], at: int, now: float, wall: float) -> float:
        """Return the seconds until one more request conforms; 0.0 = now."""

    def take(self, values: memoryview[float], at: int, now: float, wall: float) -> State:
        """Count a request that conforms and return what is left."""

    def state(self, values: memoryview[float], at: int, now: float, wall: float) -> State:
        """Return what is left, without counting."""


class Rolling:
    """Requests at a rate, with bursts. Row: level, and the time it is of."""

    __slots__ = ("label", "size", "layout", "requests", "per_s", "rate", "burst", "highest")

    def __init__(self, name: str, requests: int, per_s: float, burst: int) -> None:
        self.label = name.encode()
        self.size = 2
        self.layout = "r"
        self.requests = requests
        self.per_s = per_s
        self.rate = requests / per_s
        self.burst = burst
        #: the highest level that still takes a request. A little room keeps rounding from eating the last one of a burst
        self.highest = burst - 1 + _ROOM

    def level(self, values: memoryview[float], at: int, now: float) -> float:
        """Return the level now. Time does not run backwards, though exchanges may arrive here out of order."""
        level = values[at]
        sunk = (now - values[at + 1]) * self.rate
        if sunk > 0.0:
            level = level - sunk if level > sunk else 0.0
        return level

    def waits(self, values: memoryview[float], at: int, now: float, wall: float) -> float:
        level = self.level(values, at, now)
        return 0.0 if level <= self.highest else (level + 1 - self.burst) / self.rate

    def take(self, values: memoryview[float], at: int, now: float, wall: float) -> State:
        level = values[at] = self.level(values, at, now) + 1.0
        if now > values[at + 1]:
            values[at + 1] = now
        return self.state_at(level)

    def state(self, values: memoryview[float], at: int, now: float, wall: float) -> State:
        level = self.level(values, at, now)
        return self.state_at(level)

    def state_at(self, level: float) -> State:
        """Return what is left at a level."""
        left = int(self.burst - level + _ROOM)
        return left if left > 0 else 0, level / self.rate, self.label


class Fixed:
    """Requests per window of the clock."""

    __slots__ = ("label", "size", "layout", "requests", "per_s")

    def __init__(self, name: str, requests: int, per_s: float) -> None:
        self.label = name.encode()
        self.size = 2
        self.layout = f"f{per_s:g}"
        self.requests = requests
        self.per_s = per_s

    def waits(self, values: memoryview[float], at: int, now: float, wall: float) -> float:
        window = wall // self.per_s
        if values[at] != window or values[at + 1] < self.requests:
            return 0.0
        return (window + 1) * self.per_s - wall

    def take(self, values: memoryview[float], at: int, now: float, wall: float) -> State:
        window = wall // self.per_s
        used = values[at + 1] + 1.0 if values[at] == window else 1.0
        values[at] = window
        values[at + 1] = used
        return int(self.requests - used), (window + 1) * self.per_s - wall, self.label

    def state(self, values: memoryview[float], at: int, now: float, wall: float) -> State:
        window = wall // self.per_s
        used = values[at + 1] if values[at] == window else 0.0
        return max(int(self.requests - used), 0), (window + 1) * self.per_s - wall, self.label
