"""Active checks: the agent probes every member of every pool that wants it, from the moment the pool is there.

A member's state changes after so many equal verdicts in a row, and only then are the workers told. It belongs to the pair of pool and
address: an edit of the pool - other members, another interval, other thresholds - loses nothing. Members in maintenance are left
alone; those in drain are probed, so that their state is known when they come back.
"""

from __future__ import annotations

import logging
import resource
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
    from gateway.model.pool import ActiveCheck, Member, Pool, UpstreamTls

log = logging.getLogger("gateway.checks")

#: State changes remembered per member.
TIMELINE = 50
#: Probes at once: members that hang must not use up this process's descriptors.
AT_ONCE = 500
#: First probes are spread over this time at most, so that a new pool is soon judged.
START_S = 1.0
#: Further ones come this much earlier or later, so that members and nodes do not fall into step.
JITTER = 0.1

#: Probes begin together on ticks this long: woken one by one, a thousand a second would cost half as much again.
TICK_S = 0.02

#: pool, address, healthy, reason
Report = Callable[[str, str, bool, str], object]


class Checked:
    """A member under watch, and the greenlet that probes it."""

    __slots__ = (
        "pool", "address", "check", "tls", "probe", "trouble", "paused", "healthy", "reason", "good", "bad", "last_probe", "latency_s",
        "timeline", "changed", "greenlet",
    )  # fmt: skip

    def __init__(self, pool: str, address: str, check: ActiveCheck, tls: UpstreamTls | None) -> None:
        self.pool = pool
        self.address = address
        self.prepare(check, tls)
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

    def prepare(self, check: ActiveCheck, tls: UpstreamTls | None) -> None:
        """Probe with these settings from now on."""
        self.check = check
        self.tls = tls
        #: ``None`` when ``trouble`` says why there cannot be one
        self.probe: Probe | None = None
        self.trouble = ""
        try:
            self.probe = Probe(self.address, check, tls)
        except (ValueError, OSError) as error:
            self.trouble = f"TLS settings cannot be used: {error}"

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
        self._kept: set[Probe] = set()
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most_kept = AT_ONCE if descriptors == resource.RLIM_INFINITY else descriptors // 4

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
            checked = self._checked.pop(key)
            checked.greenlet.kill(block=False)
            self._drop(checked.probe)
        self._pools = dict(pools)

    def close(self) -> None:
        """Stop all probes."""
        self.configure({})

    def verdicts(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what a worker that has just connected must know: by pool and address, ``healthy`` and ``reason``."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for checked in self._checked.values():
            if checked.healthy is not None:
                _, _, reason = checked.timeline[-1]  # of the change; the last probe may say otherwise, not often enough yet
                found.setdefault(checked.pool, {})[checked.address] = {"healthy": checked.healthy, "reason": reason}
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
        if checked is None:
            checked = self._checked[key] = Checked(*key, check, pool.tls)
            checked.greenlet = gevent.spawn(self._run, checked)
        elif check != checked.check or pool.tls != checked.tls:
            self._drop(checked.probe)
            checked.prepare(check, pool.tls)
            checked.changed.set()
        if checked.paused != (member.state == "maintenance"):
            checked.paused = not checked.paused
            self._drop(checked.probe)
            checked.changed.set()

    def _drop(self, probe: Probe | None) -> None:
        if probe is not None:
            probe.close()
            self._kept.discard(probe)

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
        due = (due // TICK_S + 1) * TICK_S
        if due <= monotonic():
            gevent.sleep(0)  # whoever is late lets others have the room that it has just given back
        while checked.paused or due > monotonic():
            if checked.changed.wait(None if checked.paused else due - monotonic()):
                checked.changed.clear()
                due = min(due, monotonic() + checked.check.interval_s)
        return due

    def _probe(self, checked: Checked) -> None:
        began, probe = monotonic(), checked.probe
        try:
            healthy, reason = probe.run() if probe is not None else (False, checked.trouble)
        except Unjudged as error:
            reason = f"not judged: {error}"
            if reason != checked.reason:
                log.warning("a probe of %s in pool %s says nothing: %s", checked.address, checked.pool, error)
            checked.reason = reason
            return
        except Exception:
            log.exception("a probe of %s in pool %s went wrong", checked.address, checked.pool)
            return
        finally:
            if probe is not None:
                self._keep(checked, probe)
        checked.last_probe = time.time()
        checked.latency_s = monotonic() - began
        checked.reason = reason
        self._judge(checked, healthy, reason)

    def _keep(self, checked: Checked, probe: Probe) -> None:
        """Let the probe keep its connection if there is room for it, and if the probe is still wanted."""
        if (
            probe.kept is None
            or probe is not checked.probe
            or checked.paused
            or (probe not in self._kept and len(self._kept) >= self._most_kept)
        ):
            self._drop(probe)
        else:
            self._kept.add(probe)

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
