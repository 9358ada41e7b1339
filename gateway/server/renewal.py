"""Reloads and upgrades as the master goes through them, and the sockets, which only they change."""

import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from gunicorn.arbiter import Arbiter

from gateway.model.listener import Listener
from gateway.server.binding import BindError, Bound, rebind
from gateway.server.handover import Handover
from gateway.server.reloading import Reload, listeners_of

if TYPE_CHECKING:
    from gateway.server.arbiter import NodeArbiter

#: deaths of one index' new workers that make a reload pointless
HOPELESS = 3
#: how long a reload whose workers serve waits for the agent to follow, before it counts as done without it
AGENT_S = 10.0
#: signals that the master takes
TAKEN = (*Arbiter.SIGNALS, signal.SIGCHLD)


class Renewal:
    """At most one reload at a time. One that is asked for meanwhile follows; more than one are the same as one."""

    def __init__(self, arbiter: "NodeArbiter", bound: dict[str, Bound]) -> None:
        self._arbiter = arbiter
        self._state = arbiter.state
        self._bound = bound
        #: what was bound before the reload under way, and what nobody needs once it is done
        self._before: dict[str, Bound] = {}
        self._surplus: list[Bound] = []
        self._reload: Reload | None = None
        self._next: bool | None = None

    # -- sockets --------------------------------------------------------------------------------------------------------------------

    def listeners(self) -> list[tuple[socket.socket, Listener]]:
        """Return every socket with its listener."""
        return [(sock, bound.listener) for bound in self._bound.values() for sock in bound.sockets]

    def sockets(self) -> list[socket.socket]:
        """Return every socket."""
        return [sock for sock, _ in self.listeners()]

    def addresses(self) -> str:
        """Return where the gateway listens, for people."""
        return ", ".join(f"{bound.listener.address} ({name})" for name, bound in self._bound.items()) or "no address"

    def close(self) -> None:
        """Close the master's share of the sockets."""
        for bound in self._bound.values():
            bound.close()

    def let_go(self) -> None:
        """In a new worker: close sockets that are on their way out, else they would stay open for as long as it lives."""
        for bound in self._surplus:
            for sock in bound.sockets:
                sock.close()

    # -- steps ----------------------------------------------------------------------------------------------------------------------

    @property
    def under_way(self) -> bool:
        """Whether a reload is going on."""
        return self._reload is not None

    def request(self, upgrade: bool) -> None:
        """Begin a reload, or let one follow the one under way."""
        if self._reload is not None:
            self._next = upgrade or bool(self._next)
            return
        reload = self._reload = Reload(self._state, upgrade)
        self._arbiter.notify_systemd("RELOADING=1")
        try:
            reload.check(self._arbiter.settings)
        except OSError as error:
            self._failed(f"the check cannot be started: {error}")

    def ended(self, pid: int, code: int) -> None:
        """Take note that a child ended; it may have been the check."""
        reload = self._reload
        if reload is None or pid != reload.check_pid:
            return
        if not reload.checked(code):
            self._failed(reload.reason)
            return
        try:
            bound, self._surplus = rebind(self._bound, listeners_of(reload.listeners, self._arbiter.settings))
        except BindError as error:
            self._failed(str(error))
            return
        self._before, self._bound = self._bound, bound
        self._state.accept()
        reload.starting(self._arbiter.settings.boot_timeout)
        if reload.upgrade:
            self._replace_program(reload)
        else:
            self._arbiter.crew.renew()

    def advance(self, now: float) -> None:
        """See whether the reload has come further."""
        reload, crew = self._reload, self._arbiter.crew
        if reload is None:
            if self._next is not None:
                upgrade, self._next = self._next, None
                self.request(upgrade)
        elif reload.phase == "checking":
            reload.overdue()
        elif crew.complete():
            if not reload.complete:
                reload.complete = now
                # Not sooner: it may know plugins that the workers of before do not have, and would send them what needs these.
                self._arbiter.agent.succeed()
            if not self._arbiter.agent.unsettled or now - reload.complete > AGENT_S:
                self._done(reload)
        elif max(crew.failures.values(), default=0) >= HOPELESS:
            self._take_back("new workers die as soon as they start")
        elif now > reload.deadline:
            self._take_back(f"new workers were not ready after {self._arbiter.settings.boot_timeout:g} s")

    def abandon(self) -> None:
        """Give up: the gateway stops."""
        if self._reload is not None:
            self._reload.abandon()
        self._reload = self._next = None

    def _done(self, reload: Reload) -> None:
        for bound in self._surplus:
            self._arbiter.log.info("Listener %s (%s) is closed", bound.listener.name, bound.listener.address)
            bound.close()
        self._before, self._surplus = {}, []
        reload.done()
        self._reload = None
        for plugin, reason in reload.failed_plugins.items():
            self._arbiter.log.warning("%s is not usable: %s", plugin, reason)
        self._arbiter.log.info("%s %s is done: new workers are ready, listening at %s", reload.title, reload.number, self.addresses())
        self._arbiter.notify_systemd("READY=1")

    def _failed(self, reason: str) -> None:
        reload, self._reload = self._reload, None
        assert reload is not None
        reload.fail(reason)
        log = self._arbiter.log
        log.error("%s %s failed, workers go on as before: %s", reload.title, reload.number, reason)
        for problem in reload.problems:
            log.error("  %s: %s", problem["path"] or "the configuration", problem["message"])
        self._arbiter.notify_systemd("READY=1")

    def _take_back(self, reason: str) -> None:
        """Keep the workers of before. After an upgrade there is no way back, but those of before serve on all the same."""
        for member in self._arbiter.crew.revert():
            self._arbiter.dismiss(member)
        for bound in self._bound.values():
            if all(bound.sockets is not kept.sockets for kept in self._before.values()):
                bound.close()
        self._bound, self._before, self._surplus = self._before, {}, []
        self._failed(reason)

    # -- upgrade --------------------------------------------------------------------------------------------------------------------

    def _replace_program(self, reload: Reload) -> None:
        """Become the program that is installed now. Signals wait until it can take them."""
        arbiter = self._arbiter
        handover = Handover(
            lock=arbiter.lock,
            management=arbiter.management.fileno() if arbiter.management else -1,
            ours=[sock.fileno() for bound in self._bound.values() if not bound.foreign for sock in bound.sockets],
            foreign=[sock.fileno() for bound in self._bound.values() if bound.foreign for sock in bound.sockets],
            workers=[(member.pid, member.index) for member in arbiter.crew.members.values() if not member.leaving],
            agents=arbiter.agent.pids,
            reload=reload.number,
        )
        arbiter.log.info("The program is replaced by the one installed now")
        signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
        try:
            os.execve(sys.executable, sys.orig_argv, handover.environment(os.environ))
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, TAKEN)
            handover.revoke()
            self._failed(f"the program cannot be replaced: {error}")

    def resume(self, handover: Handover) -> None:
        """Go on with the upgrade that this program is the result of."""
        arbiter = self._arbiter
        for pid, index in handover.workers:
            arbiter.crew.adopt(pid, index, time.monotonic())
        self._reload = Reload(self._state, upgrade=True, number=handover.reload)
        self._reload.starting(arbiter.settings.boot_timeout)
        self._before = self._bound
        arbiter.agent.adopt(handover.agents)
