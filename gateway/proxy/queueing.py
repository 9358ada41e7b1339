"""A bounded queue of exchanges that wait for a member with room.

A slot that comes free is handed to the first waiter who may use it, and is counted as taken before that waiter runs: nobody who
comes later can step in between. So a newcomer who finds a free slot may take it: every waiter has tried that member already.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.proxy.endpoint import Endpoint


class Event(Protocol):
    """What a waiter sleeps on: ``net.Event`` in a worker."""

    def set(self) -> None:
        """Wake whoever waits."""

    def wait(self, timeout: float) -> object:
        """Sleep until ``set`` was called or ``timeout`` seconds have passed."""


class Waiter:
    """One exchange in the queue."""

    __slots__ = ("tried", "event", "endpoint", "hopeless")

    def __init__(self, tried: Sequence[str], event: Event) -> None:
        self.tried = tried
        self.event = event
        #: the slot it was given, already counted
        self.endpoint: Endpoint | None = None
        #: nothing is left that it could wait for
        self.hopeless = False


class Queue:
    """Waiters in order of arrival."""

    __slots__ = ("waiters", "_event")

    def __init__(self, event: Callable[[], Event]) -> None:
        #: an ordered dict, because leaving from the middle (deadline, lost client) must be cheap too
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()
        self._event = event

    def wait(self, tried: Sequence[str], patience_s: float, give_back: Callable[[Endpoint], None]) -> Waiter:
        """Join and sleep until a slot is given, hope is lost or ``patience_s`` have passed; read the waiter to know which.

        When the sleep is interrupted (the client has gone) a slot given in the meantime goes to ``give_back``.
        """
        waiter = Waiter(tried, self._event())
        self.waiters[waiter] = None
        try:
            waiter.event.wait(patience_s)
        except BaseException:
            if waiter.endpoint is not None:
                give_back(waiter.endpoint)
            raise
        finally:
            self.waiters.pop(waiter, None)
        return waiter

    def offer(self, endpoint: Endpoint) -> bool:
        """Give a free slot of the endpoint to the first waiter who has not tried it; False when there is none."""
        for waiter in self.waiters:
            if endpoint.address not in waiter.tried:
                self.give(waiter, endpoint)
                return True
        return False

    def give(self, waiter: Waiter, endpoint: Endpoint) -> None:
        """Count a slot of the endpoint for this waiter and wake it."""
        del self.waiters[waiter]
        endpoint.in_flight += 1
        waiter.endpoint = endpoint
        waiter.event.set()

    def dismiss(self, waiter: Waiter) -> None:
        """Wake a waiter who waits for nothing any more."""
        del self.waiters[waiter]
        waiter.hopeless = True
        waiter.event.set()
