"""Active checks: the agent probes every member of every pool that wants it, from the moment the pool is there.

A member's state changes after so many equal verdicts in a row, and only then are the workers told. It belongs to the pair of pool and
address: an edit of the pool - other members, another interval, other thresholds - loses nothing. Members in maintenance are left
alone; those in drain are probed, so that their state is known when they come back.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from gateway.agent.probe import Probe, Unjudged
from gateway.net import monotonic

if TYPE_CHECKING:
    from gateway.model.pool import ActiveCheck, Member, Pool

log = logging.getLogger("gateway.checks")

#: State changes remembered per member.
TIMELINE = 50
#: Probes at once: members that hang must not use up this process's descriptors.
AT_ONCE = 500
#: First probes are spread over this time at most, so that a new pool is soon judged.
START_S = 1.0
#: Further ones come this much earlier or later, so that members and nodes do not fall into step.
JITTER = 0.1

#: pool, address, healthy, reason
Report = Callable[[str, str, bool, str], object]


class Checked:
    """A member under watch, and the greenlet that probes it."""

    __slots__ = (
        "pool", "address", "check", "probe", "trouble", "paused", "healthy", "reason", "good", "bad", "last_probe", "latency_s",
        "timeline", "changed", "greenlet",
    )  # fmt: skip

    def __init__(self, pool: str, address: str) -> None:
        self.pool = pool
        self.address = address
        self.check: ActiveCheck
        self.probe: Probe | None = None
        #: why there is no probe
        self.trouble = ""
        self.paused = False
        #: ``None`` until the first thresholds are reached
        self.healthy: bool | None = None
        self.reason = "not probed yet"
        #: equal verdicts in a row
        self.good = 0
        self.bad = 0
        #: wall clock; ``0.0`` = never
        self.last_probe = 0.0
        self.latency_s = 0.0
        #: (wall clock, state, reason) of the last changes
        self.timeline: deque[tuple[float, str, str]] = deque([(time.time(), "new", "first seen")], maxlen=TIMELINE)
        #: wakes the greenlet when it must look at its settings again
        self.changed = Event()
        self.greenlet: Any = None

    @property
    def state(self) -> str:
        """One word for people."""
        if self.paused:
            return "paused"
        return "new" if self.healthy is None else "up" if self.healthy else "down"

    def report(self) -> dict[str, Any]:
        """Return what a status page shows."""
        return {
            "state": self.state,
            "healthy": self.healthy,
            "reason": self.reason,
            "last_probe": self.last_probe,
            "latency_ms": round(self.latency_s * 1000, 3),
            "good_in_a_row": self.good,
            "bad_in_a_row": self.bad,
            "timeline": [{"at": at, "state": state, "reason": reason} for at, state, reason in self.timeline],
        }


class Checker:
    """All active checks of a node. ``report(pool, address, healthy, reason)`` is called when a member's state changes."""

    def __init__(self, report: Report, *, seed: int | None = None, at_once: int = AT_ONCE) -> None:
        self._report = report
        self._random = Random(seed)
        self._pools: Mapping[str, Pool] = {}
        self._checked: dict[tuple[str, str], Checked] = {}
        self._room = BoundedSemaphore(at_once)

    def configure(self, pools: Mapping[str, Pool]) -> None:
        """Probe the members of these pools from now on, and no others."""
        wanted: set[tuple[str, str]] = set()
        for name, pool in pools.items():
            if pool.health.active is not None:
                wanted.update((name, member.address) for member in pool.members)
                if pool != self._pools.get(name):
                    for member in pool.members:
                        self._watch(pool, pool.health.active, member)
        for key in self._checked.keys() - wanted:
            self._checked.pop(key).greenlet.kill(block=False)
        self._pools = dict(pools)

    def close(self) -> None:
        """Stop all probes."""
        self.configure({})

    def verdicts(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what a worker that has just connected must know: by pool and address, ``healthy`` and ``reason``."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for checked in self._checked.values():
            if checked.healthy is not None:
                found.setdefault(checked.pool, {})[checked.address] = {"healthy": checked.healthy, "reason": checked.reason}
        return found

    def snapshot(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the state of every check by pool and address, for the status page."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for checked in self._checked.values():
            found.setdefault(checked.pool, {})[checked.address] = checked.report()
        return found

    def _watch(self, pool: Pool, check: ActiveCheck, member: Member) -> None:
        key = pool.name, member.address
        checked = self._checked.get(key)
        fresh = checked is None
        if checked is None:
            checked = self._checked[key] = Checked(*key)
        checked.check = check
        try:
            checked.probe = Probe(member.address, check, pool.tls)
            checked.trouble = ""
        except (ValueError, OSError) as error:
            checked.probe, checked.trouble = None, f"TLS settings cannot be used: {error}"
        checked.paused = member.state == "maintenance"
        if fresh:
            checked.greenlet = gevent.spawn(self._run, checked)
        else:
            checked.changed.set()

    def _run(self, checked: Checked) -> None:
        due = monotonic() + self._random.random() * min(START_S, checked.check.interval_s)
        while True:
            due = self._rest(checked, due)
            with self._room:
                self._probe(checked)
            interval = checked.check.interval_s * (1 + JITTER * (2 * self._random.random() - 1))
            due = max(due + interval, monotonic())  # a slow probe is followed at once, never made up for

    def _rest(self, checked: Checked, due: float) -> float:
        """Sleep until the next probe is due, sooner when the interval is shortened meanwhile; return when it was due."""
        gevent.sleep(0)  # whoever is late lets others have the room that it has just given back
        while checked.paused or due > monotonic():
            if checked.changed.wait(None if checked.paused else due - monotonic()):
                checked.changed.clear()
                due = min(due, monotonic() + checked.check.interval_s)
        return due

    def _probe(self, checked: Checked) -> None:
        began = monotonic()
        try:
            healthy, reason = checked.probe.run() if checked.probe is not None else (False, checked.trouble)
        except Unjudged as error:
            reason = f"not judged: {error}"
            if reason != checked.reason:
                log.warning("a probe of %s in pool %s says nothing: %s", checked.address, checked.pool, error)
            checked.reason = reason
            return
        except Exception:
            log.exception("a probe of %s in pool %s went wrong", checked.address, checked.pool)
            return
        checked.last_probe = time.time()
        checked.latency_s = monotonic() - began
        checked.reason = reason
        self._judge(checked, healthy, reason)

    def _judge(self, checked: Checked, healthy: bool, reason: str) -> None:
        checked.good = checked.good + 1 if healthy else 0
        checked.bad = 0 if healthy else checked.bad + 1
        enough = checked.good >= checked.check.healthy_after if healthy else checked.bad >= checked.check.unhealthy_after
        if healthy is checked.healthy or not enough:
            return
        checked.healthy = healthy
        checked.timeline.append((checked.last_probe, checked.state, reason))
        log.info("%s in pool %s is %s: %s", checked.address, checked.pool, checked.state, reason)
        try:
            self._report(checked.pool, checked.address, healthy, reason)
        except Exception:
            log.exception("the state of %s could not be reported", checked.address)


__all__ = ["Checked", "Checker"]
