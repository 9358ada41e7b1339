"""What a worker process does, whoever started it: takes snapshots, accepts connections, keeps time, drains."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import gevent
from gevent.hub import get_hub

from gateway.model.snapshot import Snapshot
from gateway.net import monotonic, start_sweeping
from gateway.proxy.lifecycle import Lifecycle
from gateway.proxy.live import Assembler, Live
from gateway.server.accepting import Acceptor
from gateway.server.listening import Listening

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry
    from gateway.hooks.plugin import Worker
    from gateway.model.listener import Listener
    from gateway.observe.recorder import Recorder

log = logging.getLogger("gateway.worker")

#: exchanges of a replaced snapshot are given this long before instances that only they use are stopped
RETIRE_S = 5.0
HOUSEKEEPING_S = 1.0
#: a full collection walks every object of a large configuration: rarely, then
GC_THRESHOLDS = (50_000, 20, 100)


class Core:
    """The data plane of one process. ``notify`` carries frames to the agent and may drop them; ``pause`` is called within long work."""

    def __init__(
        self,
        registry: Registry,
        worker: Worker,
        recorder: Recorder,
        notify: Callable[[dict[str, Any]], object],
        pause: Callable[[], object] = lambda: gevent.sleep(0),
    ) -> None:
        self.recorder = recorder
        self._pause = pause
        self.assembler = Assembler(
            registry,
            worker,
            failed=recorder.plugin_failed,
            shadow_refused=recorder.shadow_refused,
            notify=notify,
            connected=recorder.connected,
        )
        #: serves 404 for everything until the first snapshot
        self.lifecycle = Lifecycle(self.assembler.assemble(Snapshot()), recorder)
        self.listenings: dict[str, Listening] = {}
        self.acceptors: list[Acceptor] = []
        self.draining = False
        self._timers: list[Any] = []

    @property
    def live(self) -> Live:
        """The configuration in force."""
        return self.lifecycle.live

    # -- configuration --------------------------------------------------------------------------------------------------------------

    def swap(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force. Raises when it cannot be; then nothing has changed. Pauses while it works."""
        self.lifecycle.live = self.assembler.assemble(snapshot, self._pause)
        self.recorder.configure(snapshot)
        for listening in self.listenings.values():
            self._configure(listening, snapshot)
        if self._timers:
            gevent.spawn_later(RETIRE_S, self.assembler.planner.release)

    def _configure(self, listening: Listening, snapshot: Snapshot) -> None:
        listener = snapshot.listeners.get(listening.name, listening.listener)
        if listener is not listening.listener:
            listening.configure(listener)
        if listener.protocol == "https":
            listening.use(listener, snapshot.certificates)

    # -- traffic --------------------------------------------------------------------------------------------------------------------

    def listen(self, listener: Listener, sockets: Iterable[Any]) -> Listening:
        """Prepare to accept on the sockets of a listener; ``start`` begins."""
        listening = self.listenings[listener.name] = Listening(listener)
        self._configure(listening, self.live.snapshot)
        self.acceptors.extend(Acceptor(sock, listening, self.lifecycle) for sock in sockets)
        return listening

    def start(self) -> None:
        """Accept connections and keep time."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._timers.append(start_sweeping())
        timer = get_hub().loop.timer(HOUSEKEEPING_S, HOUSEKEEPING_S)
        timer.start(self._housekeeping)
        self._timers.append(timer)
        self.recorder.start()
        for acceptor in self.acceptors:
            acceptor.start()

    def _housekeeping(self) -> None:
        now = monotonic()
        for upstream in self.assembler.upstreams.values():
            upstream.sweep(now)

    @property
    def connections(self) -> int:
        """Client connections open."""
        return sum(len(listening.connections) for listening in self.listenings.values())

    @property
    def in_flight(self) -> int:
        """Exchanges running."""
        return sum(connection.busy for listening in self.listenings.values() for connection in listening.connections)

    def drain(self, grace_s: float) -> bool:
        """Accept no more, close what is idle, wait for exchanges to finish; return whether all did within ``grace_s``."""
        self.draining = True
        for acceptor in self.acceptors:
            acceptor.stop()
        for listening in self.listenings.values():
            listening.drain()
        until = monotonic() + grace_s
        while True:
            gevent.sleep(0.02)
            left = self.connections + sum(listening.arriving for listening in self.listenings.values())
            if not left or monotonic() >= until:
                return not left

    def stop(self) -> None:
        """Stop plugins; the end of the process closes the rest."""
        for timer in self._timers:
            timer.stop()
        self.assembler.planner.release_all()
        self.recorder.close()
