"""The agent: one light process per node that does what would block a worker, or be done once per worker.

It watches the configuration and hands changes to the workers, checks members, collects what workers report, and answers on
the management address. Nothing here is needed to serve: workers go on while an agent is away.
"""

import logging
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import gevent
from gevent.event import Event

from gateway.agent import frames
from gateway.agent.compiler import Compiler, CompilerGone
from gateway.agent.configuration import Configuration
from gateway.agent.frames import Message
from gateway.agent.health import NodeHealth
from gateway.agent.hub import Hub, Peer
from gateway.agent.settings import NodeSettings
from gateway.agent.sources import FileSource
from gateway.agent.state import StateDirectory
from gateway.shared.board import Board

TRACES = 200
PARENT_S = 0.5

log = logging.getLogger("gateway.agent")


class Agent:
    """The parts of the agent, and what goes between them."""

    def __init__(self, settings: NodeSettings, board: Board) -> None:
        self.settings = settings
        self.board = board
        self.state = StateDirectory(settings.state)
        self.configuration = Configuration(self.state.snapshot)
        self.hub = Hub(self.state.socket, self)
        self.health = NodeHealth(self.state.health, self.hub.broadcast)
        self.started = time.time()
        #: id -> trace, oldest first
        self.traces: OrderedDict[str, Message] = OrderedDict()
        self._source = FileSource(settings.config)
        self._compiler = Compiler(settings)
        self._master = os.getppid()
        #: listeners that the master has bound, ``None`` until known
        self._bound: Mapping[str, Any] | None = None
        #: what is in force is what workers find on disk
        self._on_disk = Event()
        self._on_disk.set()
        self._ending = Event()

    def run(self) -> None:
        """Do the agent's work until it is told to end, or its master is gone."""
        for number in (signal.SIGTERM, signal.SIGQUIT):
            gevent.signal_handler(number, self._ending.set)
        watching = gevent.spawn(self._watch)
        try:
            while not self._ending.wait(PARENT_S):
                if os.getppid() != self._master:
                    log.warning("the master has gone: the agent ends")
                    break
        finally:
            watching.kill()
            self.hub.stop()
            self._compiler.stop()

    # -- configuration --------------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self._start_compiler()
        self.hub.start()
        self.board.agent = os.getpid()
        while True:
            if self._source.changed():
                self._compile()
            gevent.sleep(self._source.pause_s)

    def _start_compiler(self) -> None:
        while True:
            try:
                self._take(self._compiler.start())
            except (CompilerGone, OSError) as error:
                log.error("%s", error)
                self.configuration.fail(str(error))
                gevent.sleep(1.0)
            else:
                return

    def _compile(self) -> None:
        try:
            answer, delta = self._compiler.compile()
        except CompilerGone as error:
            log.error("%s; the configuration in force stays", error)
            self._start_compiler()
            self.configuration.fail(str(error))  # not tried again before something changes: it may be what ended the compiler
            return
        self._source.refer(answer["files"])
        if answer["type"] != "compiled":
            self._take(answer)
            return
        self._on_disk.clear()
        self._take(answer, delta)
        try:
            self.configuration.trouble = self._compiler.kept()
        except CompilerGone as error:
            self.configuration.trouble = f"the configuration is in force but was not stored: {error}"
            self._start_compiler()
            self._source.forget()
        self._on_disk.set()
        if self.configuration.trouble:
            log.error("%s", self.configuration.trouble)

    def _take(self, answer: Message, delta: bytes = b"") -> None:
        configuration = self.configuration
        framed = configuration.take(answer, delta)
        for warning in answer.get("warnings", ()):
            log.warning("%s: %s: %s", self.settings.config, warning["path"], warning["message"])
        if answer["type"] == "refused":
            in_force = f"revision {configuration.revision} stays in force" if configuration.digest else "nothing is in force"
            log.error("%s was refused, %s:", self.settings.config, in_force)
            for problem in answer["problems"]:
                log.error("  %s: %s", problem["path"] or "the file", problem["message"])
            return
        self.board.revision, self.board.revised = configuration.revision, configuration.since
        if "pools" in answer:
            self.health.configure(answer["pools"])
        if framed:
            self.hub.broadcast(framed)
            log.info("revision %s is in force after %.0f ms", configuration.revision, configuration.took_ms)
        wanted = _addresses(configuration.listeners)
        if self._bound is None and configuration.digest:
            self._bound = wanted
        elif self._bound is not None and wanted != self._bound:
            log.info("listeners have changed: asking the master to reload")
            self._bound = wanted
            os.kill(self._master, signal.SIGHUP)

    # -- workers --------------------------------------------------------------------------------------------------------------------

    def greeted(self, peer: Peer) -> Iterable[bytes]:
        """Return what a worker that has just connected is missing.

        One that is leaving, or belongs to the program that the master was before, stays as it is: its plugins may be others.
        """
        self._on_disk.wait()
        if not any(cell.pid == peer.pid and not cell.draining for cell in self.board.cells):
            return []
        return [*filter(None, [self.configuration.catch_up(peer.digest)]), *self.health.greeting()]

    def heard(self, peer: Peer, message: Message) -> None:
        """Pass on what other workers should know, and keep what people will ask for."""
        kind = message["type"]
        if kind == "refused":
            self._refused(peer, message)
        elif kind == "ejected":
            self.health.eject(message)
            self.hub.broadcast(frames.encode(message), but=peer)
        elif kind == "recovered":
            self.health.recover(message)
            self.hub.broadcast(frames.encode(message), but=peer)
        elif kind == "trace":
            self.traces[str(message["id"])] = message
            while len(self.traces) > TRACES:
                self.traces.popitem(last=False)

    def lost(self, peer: Peer) -> None:
        """Nothing depends on a worker that went."""

    def _refused(self, peer: Peer, message: Message) -> None:
        if message.get("wanted") == "snapshot":
            self._on_disk.wait()
            peer.send(self.configuration.whole())
            return
        log.error("worker %s (pid %s) refused revision %s: %s", peer.worker, peer.pid, message.get("revision"), message.get("errors"))


def _addresses(listeners: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the part of listeners that only the master can change."""
    return {name: (listener.get("address"), listener.get("protocol")) for name, listener in listeners.items()}
