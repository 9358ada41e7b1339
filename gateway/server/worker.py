"""The proxy worker: a gunicorn worker whose connections go to our own loop.

Booting must not fail because of what was configured or installed: a plugin that does not import and a snapshot that
does not load are reported, and the worker serves what it can, be it only 503.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import gunicorn.workers.base

if TYPE_CHECKING:
    from gateway.agent.frames import Message
    from gateway.hooks.manager import Registry
    from gateway.model.snapshot import Snapshot
    from gateway.shared.arena import Arena
    from gateway.shared.table import SharedTable

#: between two signs of life; also how soon a drain begins
PULSE_S = 0.2


class ProxyWorker(gunicorn.workers.base.Worker):
    """One process of the data plane. The arbiter sets what it needs to know (``NodeArbiter.equip``) before the fork."""

    index: int
    slot: int
    count: int
    settings: Any
    arena: Arena
    board: Any
    cell: Any
    listeners: list[tuple[Any, Any]]

    def load_wsgi(self) -> None:
        """There is no WSGI application."""

    def init_process(self) -> None:
        """Patch what plugins may call, after the fork and before anything else is imported; then run."""
        from gevent import monkey

        monkey.patch_all()
        from gevent import reinit

        reinit()
        super().init_process()

    def init_signals(self) -> None:
        """TERM drains, INT and QUIT end at once, USR1 reopens logs; gevent delivers them between greenlets."""
        import gevent

        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes talks to the master
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gevent.signal_handler(signal.SIGTERM, self._leave)
        gevent.signal_handler(signal.SIGQUIT, self._leave_now)
        gevent.signal_handler(signal.SIGINT, self._leave_now)
        gevent.signal_handler(signal.SIGUSR1, self._reopen)
        signal.siginterrupt(signal.SIGTERM, False)
        signal.siginterrupt(signal.SIGUSR1, False)

    def run(self) -> None:
        """Serve until told to leave."""
        import gevent

        from gateway.agent.state import StateDirectory
        from gateway.control.watcher import Watcher
        from gateway.hooks.manager import load_plugins
        from gateway.observe.recorder import Recorder
        from gateway.server.companion import Companion
        from gateway.server.core import Core

        state = StateDirectory(self.settings.state)
        self.registry: Registry = load_plugins()
        self.companion = Companion(
            state.socket,
            self._hello,
            {
                "snapshot": lambda message: self.watcher.whole(message),
                "delta": lambda message: self.watcher.delta(message),
                "health": self._health,
                "ejected": self._ejected,
                "recovered": self._recovered,
                "report": self._report,
            },
            logging.getLogger("gateway.companion"),
            self._greet,
        )
        face = WorkerFace(self)
        self.recorder = Recorder(self.arena, self.slot, self.settings.access_log, self._send_trace)
        self.core = Core(self.registry, face, self.recorder, lambda frame: self.companion.send(frame.pop("type"), **frame), self._breathe)
        face.snapshot = lambda: self.core.live.snapshot  # type: ignore[method-assign]
        for listener in {listener.name: listener for _, listener in self.listeners}.values():
            if listener.protocol in ("http", "https"):
                self.core.listen(listener, [sock for sock, owner in self.listeners if owner.name == listener.name])
        self.watcher = Watcher(self.core.swap, self.companion.send, self._breathe)
        self.watcher.start(state.snapshot)
        self.companion.start()
        self.core.start()
        self.cell.ready = True
        while self.alive and os.getppid() == self.ppid:
            self._pulse()
            gevent.sleep(PULSE_S)
        self.cell.draining = True
        self.cell.ready = False
        pulse = gevent.spawn(self._keep_alive)
        self.core.drain(self.settings.drain)
        pulse.kill()
        self.core.stop()
        self.companion.stop()

    # -- signs of life --------------------------------------------------------------------------------------------------------------

    def _pulse(self) -> None:
        self.notify()
        cell, core = self.cell, self.core
        cell.heartbeat = time.monotonic()
        cell.revision = core.live.snapshot.revision
        cell.connections = core.connections
        cell.in_flight = core.in_flight
        cell.requests = core.lifecycle.exchanges

    def _breathe(self) -> None:
        """Let others run within long work, and tell the master that this is work and not a hang."""
        import gevent

        self.notify()
        gevent.sleep(0)

    def _keep_alive(self) -> None:
        import gevent

        while True:
            self._pulse()
            gevent.sleep(PULSE_S)

    def _leave(self) -> None:
        self.alive = False
        self.cell.draining = True

    def _leave_now(self) -> None:
        os._exit(0)

    def _reopen(self) -> None:
        self.log.reopen_files()
        self.recorder.reopen()

    # -- talking with the agent -----------------------------------------------------------------------------------------------------

    def _hello(self) -> Message:
        snapshot = self.watcher.snapshot
        return {
            "worker": self.index,
            "pid": os.getpid(),
            "revision": snapshot.revision,
            "digest": snapshot.digest,
            "plugins": {info.name: info.version for info in self.registry.catalogue()},
            "failed_plugins": self.registry.failed,
        }

    def _send_trace(self, trace: Message) -> None:
        self.companion.send("trace", **trace)

    def _health(self, message: Message) -> None:
        upstreams = self.core.assembler.upstreams
        for name, members in message["pools"].items():
            if name in upstreams:
                upstreams[name].runtime.healths(members)

    def _greet(self) -> None:
        """Tell a new agent what it cannot know from anybody else: who is ejected here."""
        for upstream in self.core.assembler.upstreams.values():
            for frame in upstream.runtime.ejections():
                self.companion.send(frame.pop("type"), **frame)

    def _ejected(self, message: Message) -> None:
        upstream = self.core.assembler.upstreams.get(message["pool"])
        if upstream is not None:
            upstream.runtime.ejected(message["address"], message["until"], message["reason"])

    def _recovered(self, message: Message) -> None:
        upstream = self.core.assembler.upstreams.get(message["pool"])
        if upstream is not None:
            upstream.runtime.recovered(message["address"])

    def _report(self, _: Message) -> None:
        pools = {name: upstream.runtime.report() for name, upstream in self.core.assembler.upstreams.items()}
        self.companion.send("status", pools=pools)


class WorkerFace:
    """What plugins see of their worker (``hooks.plugin.Worker``)."""

    def __init__(self, worker: ProxyWorker) -> None:
        self.index = worker.index
        self.count = worker.count
        self.log = logging.getLogger("gateway.plugin")
        self._arena = worker.arena
        self._tables: dict[tuple[str, int], SharedTable] = {}

    def table(self, name: str, values: int = 2) -> SharedTable:
        """Return the table of this name, shared by all workers of the node and kept across reloads."""
        from gateway.shared.table import SharedTable

        table = self._tables.get((name, values))
        if table is None:
            table = self._tables[name, values] = SharedTable(self._arena, name, values)
        return table

    def spawn(self, function: Any, *args: Any) -> Any:
        """Run the function in a greenlet of its own; gevent logs what it raises."""
        import gevent

        return gevent.spawn(function, *args)

    def snapshot(self) -> Snapshot:
        """Return the configuration in force."""
        raise RuntimeError("no configuration is in force yet")
