"""All windows of a policy together: check every one, then count in every one, or in none.

Three classes for one job, because this runs for every request: a single rolling window is the usual case and takes half
the time of several; a fixed one needs the clock of the wall as well. Whoever calls holds the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from typing import Any, Protocol

from gateway_limits.windows import Rolling, State, Window


class Counter(Protocol):
    """Counts a request in every window of a row."""

    def count(self, values: memoryview[float], row: int, now: float) -> tuple[float, Any]:
        """Return the seconds until the request would conform, 0.0 when it does and is counted, and a memo for ``nearest``."""

    def nearest(self, memo: Any) -> State:
        """Return the state of the window that is nearest to its end."""


def counter_of(windows: Sequence[Window]) -> Counter:
    """Return the quickest counter for these windows, whose numbers lie one after the other in a row."""
    rolling = [window for window in windows if isinstance(window, Rolling)]
    if len(rolling) < len(windows):
        return MixedCounter(windows)
    return OneCounter(rolling[0]) if len(rolling) == 1 else RollingCounter(rolling)


class OneCounter:
    """One rolling window; the memo is its level."""

    __slots__ = ("window", "rate", "highest", "burst")

    def __init__(self, window: Rolling) -> None:
        self.window = window
        self.rate, self.highest, self.burst = window.rate, window.highest, window.burst

    def count(self, values: memoryview[float], row: int, now: float) -> tuple[float, Any]:
        level = values[row]
        sunk = (now - values[row + 1]) * self.rate
        if sunk > 0.0:
            level = level - sunk if level > sunk else 0.0
        if level > self.highest:
            return (level + 1.0 - self.burst) / self.rate, level
        level = values[row] = level + 1.0
        if sunk > 0.0:
            values[row + 1] = now
        return 0.0, level

    def nearest(self, memo: Any) -> State:
        return self.window.state_at(memo)


class RollingCounter:
    """Several rolling windows; the memo is their levels."""

    __slots__ = ("windows", "_rows")

    def __init__(self, windows: Sequence[Rolling]) -> None:
        self.windows = tuple(windows)
        self._rows = tuple((index, 2 * index, w.rate, w.highest, w.burst) for index, w in enumerate(windows))

    def count(self, values: memoryview[float], row: int, now: float) -> tuple[float, Any]:
        levels = []
        longest = 0.0
        for _, start, rate, highest, burst in self._rows:
            level = values[row + start]
            sunk = (now - values[row + start + 1]) * rate
            if sunk > 0.0:
                level = level - sunk if level > sunk else 0.0
            levels.append(level)
            if level > highest:
                longest = max(longest, (level + 1.0 - burst) / rate)
        if not longest:
            for index, start, _, _, _ in self._rows:
                levels[index] = values[row + start] = levels[index] + 1.0
                if now > values[row + start + 1]:
                    values[row + start + 1] = now
        return longest, levels

    def nearest(self, memo: Any) -> State:
        return min([window.state_at(level) for window, level in zip(self.windows, memo, strict=True)], key=_nearness)


class MixedCounter:
    """Windows of any kind; the memo is their states."""

    __slots__ = ("_windows",)

    def __init__(self, windows: Sequence[Window]) -> None:
        starts = [sum(window.size for window in windows[:index]) for index in range(len(windows))]
        self._windows = tuple(zip(windows, starts, strict=True))

    def count(self, values: memoryview[float], row: int, now: float) -> tuple[float, Any]:
        wall = time()
        longest = max([window.waits(values, row + start, now, wall) for window, start in self._windows])
        if longest:
            return longest, [window.state(values, row + start, now, wall) for window, start in self._windows]
        return 0.0, [window.take(values, row + start, now, wall) for window, start in self._windows]

    def nearest(self, memo: Any) -> State:
        nearest: State = min(memo, key=_nearness)
        return nearest


def _nearness(state: State) -> tuple[int, float]:
    """Fewest requests left; of equals, the one that takes longest to refill."""
    return state[0], -state[1]
