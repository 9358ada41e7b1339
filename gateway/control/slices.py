"""Long work beside traffic: cut into slices, and without the garbage collector."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

#: A slice ends after this long, looked at after each small step.
SLICE_S = 0.002
Pause = Callable[[], object]
#: New objects from which on it pays to hide them from the collector.
_MANY = 20_000


class Slices:
    """Calls ``pause`` whenever a slice is used up; without one, never."""

    __slots__ = ("_pause", "_since")

    def __init__(self, pause: Pause | None) -> None:
        self._pause = pause
        self._since = perf_counter()

    def breathe(self) -> None:
        """End the slice when it has lasted long enough. Costs 0.1 µs when it has not."""
        if self._pause is not None and perf_counter() - self._since > SLICE_S:
            self._pause()
            self._since = perf_counter()


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector out while many objects without cycles are made; they are freed by their reference counts.

    A full collection walks every object there is, which with 100,000 consumers takes longer than any slice may. So what was made
    moves out of the collector's sight when it is much (``gc.freeze``), together with whatever garbage is waiting at that moment.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > _MANY:
            gc.freeze()
        if enabled:
            gc.enable()
