"""The master of a node: gunicorn's arbiter with its own idea of who should run.

gunicorn gives the process loop, signal queue, fork, heartbeat and logging. What differs here, and why:

- Replacing. gunicorn kills the old workers of a reload as soon as the new ones are forked. Here ``Crew`` decides: a worker is
  told to leave when its successor is ready, and a reload begins with a check in a child process.
- Dying. A worker that exits at boot halts gunicorn. Here nothing halts the master but a signal: it tries again, ever more slowly.
- Sockets. The master holds all listening sockets, so connections queue while workers change.
- Upgrading. USR2 replaces the program of this very process (same process id, sockets kept open), not of a second master.
- gunicorn's control socket and its second arbiter stay off; both would bring asyncio into a process that forks.
"""

import os
import queue
import random
import signal
import time
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.systemd import sd_notify

from gateway.agent.settings import NodeSettings
from gateway.agent.state import StateDirectory
from gateway.server.children import STOP_S, AgentKeeper
from gateway.server.crew import Crew, Member, slots_for
from gateway.server.installed import Installed
from gateway.server.renewal import TAKEN, Renewal
from gateway.shared.arena import Arena
from gateway.shared.board import Board

#: between looks while something is about to happen, and otherwise
BUSY_S = 0.05
IDLE_S = 1.0
#: beyond the time that workers give their exchanges, before they are killed
GRACE_S = 2.0
#: a worker forked a moment ago may not have had its signal handlers yet
REPEAT_S = 1.0
#: workers are replaced after this much more or less than what was asked for, so that they do not all go at once
JITTER = 0.1


class NodeArbiter(Arbiter):
    """Master process of a node."""

    def __init__(self, application: Any) -> None:
        super().__init__(application)
        self.settings: NodeSettings = application.settings
        self.state = StateDirectory(self.settings.state)
        self.arena: Arena = application.arena
        self.board = Board(self.arena)
        self.crew = Crew(self.settings.workers, slots_for(self.settings.workers))
        self.lock: int = application.lock
        self.management = application.management
        self.agent = self._agent_keeper()
        self.renewal = Renewal(self, application.bound)
        self._handover = application.handover
        self._notices: list[str] = application.notices
        self._installed = Installed()
        self._place = (0, 0)
        #: process id -> requests and age at which the worker is replaced
        self._limits: dict[int, tuple[float, float]] = {}
        self._announced = False
        self._stopping = False

    # -- life of the master ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or go on where the program before this one ended."""
        self.pid = os.getpid()
        self.state.write_pid()
        self.init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TAKEN)  # blocked while one program replaced the other
        self.log.info("Gateway master started (pid %s), %s workers, state in %s", self.pid, self.crew.count, self.state.path)
        for notice in self._notices:
            self.log.error("%s", notice)
        if self._handover is None:
            self.agent.tend(0)
        else:
            self.renewal.resume(self._handover)

    def wait_for_signals(self, timeout: float = IDLE_S) -> list[int]:
        """Wait for signals, for a short time only while something is under way."""
        signals: list[int] = super().wait_for_signals(BUSY_S if self._busy() else timeout)
        return signals

    def _busy(self) -> bool:
        settled = self.crew.complete() and not any(member.leaving for member in self.crew.members.values())
        return not settled or self.renewal.under_way or self.agent.unsettled

    def handle_hup(self) -> None:
        """Reload."""
        self.renewal.request(upgrade=False)

    def handle_usr2(self) -> None:
        """Upgrade: become the program that is installed now."""
        self.renewal.request(upgrade=True)

    def handle_usr1(self) -> None:
        """Open log files anew. The agent sees by itself that its file was moved."""
        self.log.reopen_files()
        self._signal_workers(signal.SIGUSR1)

    def handle_ttin(self) -> None:
        """Add a worker."""
        self.crew.count = min(self.crew.count + 1, self.crew.slots // 2)
        self.log.info("%s workers from now on", self.crew.count)

    def handle_ttou(self) -> None:
        """Take a worker away."""
        self.crew.count = max(self.crew.count - 1, 1)
        self.log.info("%s workers from now on", self.crew.count)

    def handle_winch(self) -> None:
        """A terminal changed its size: nothing to us."""

    def manage_workers(self) -> None:
        """See that the right workers run, and take every matter under way one step further."""
        now = time.monotonic()
        for member in self.crew.members.values():
            if not member.ready and member.slot >= 0:
                member.ready = bool(self.board.cells[member.slot].ready)
        if not self._stopping:
            for index, slot in self.crew.vacancies(now):
                self._hire(index, slot, now)
            self._wear_out(now)
        for member in self.crew.dispensable():
            self.dismiss(member)
        self._press(now)
        self.renewal.advance(now)
        self.agent.tend(self.board.agent)
        if not self._announced and self.crew.complete():
            self._announced = True
            self.log.info("Ready: %s workers, listening at %s", self.crew.count, self.renewal.addresses())
            self.notify_systemd("READY=1")

    def stop(self, graceful: bool = True) -> None:
        """End everything: readiness fails first, then workers drain, the agent goes last."""
        if self._stopping:
            return
        self.board.draining = True
        self.notify_systemd("STOPPING=1")
        self.renewal.abandon()
        if graceful and self.settings.drain_delay:
            self.log.info("Readiness fails now; listeners close in %g s", self.settings.drain_delay)
            graceful = self._wait(self.settings.drain_delay, lambda: False)
        self._stopping = True
        self.renewal.close()
        for member in list(self.crew.members.values()):
            self.dismiss(member, signal.SIGTERM if graceful else signal.SIGQUIT)
        self._end(graceful)
        self.agent.stop()
        self._wait(STOP_S, lambda: not self.agent.pids)
        self.agent.signal(signal.SIGKILL)
        self.reap_workers()
        self.state.release()

    def _end(self, graceful: bool) -> None:
        """Wait until every worker has left; see that none stays."""
        if graceful and self._wait(self.settings.drain + GRACE_S, lambda: not self.crew.members):
            return
        self._signal_workers(signal.SIGQUIT)
        self._wait(GRACE_S, lambda: not self.crew.members)
        self._signal_workers(signal.SIGKILL)
        self._wait(GRACE_S, lambda: not self.crew.members)

    def _wait(self, limit_s: float, done: Any) -> bool:
        """Go on reaping until it is done or the time is over; returns False when a quick end was asked for meanwhile."""
        limit = time.monotonic() + limit_s
        while not done() and (left := limit - time.monotonic()) > 0:
            try:
                number = self.SIG_QUEUE.get(timeout=min(left, BUSY_S))
            except queue.Empty:
                number = 0
            if number in (signal.SIGINT, signal.SIGQUIT):
                self.log.info("Quick shutdown requested")
                return False
            self.reap_workers()
            self.manage_workers()
        return True

    def notify_systemd(self, state: str) -> None:
        """Tell systemd, when it started us."""
        status = f"{self.crew.serving()} of {self.crew.count} workers ready"
        sd_notify(f"{state}\nSTATUS={status}\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", self.log)

    def _agent_keeper(self) -> AgentKeeper:
        management = -1 if self.management is None else self.management.fileno()
        arguments = {"settings": self.settings.model_dump(mode="json"), "arena": self.arena.fd, "management": management}
        return AgentKeeper(arguments, [fd for fd in (self.arena.fd, management) if fd >= 0], self.log)

    # -- workers --------------------------------------------------------------------------------------------------------------------

    def _hire(self, index: int, slot: int, now: float) -> None:
        self._place = index, slot
        self.LISTENERS = self.renewal.sockets()
        try:
            pid = self.spawn_worker()
        except OSError as error:
            self.log.error("Worker %s cannot be started: %s", index, error)
            self.board.vacate(slot)
            self.crew.failed(index, now)
            return
        self.board.cells[slot].pid = pid
        self.board.starts += 1
        self.board.restarts += index in self.crew.failures
        self.crew.add(pid, index, slot, now)
        spread = 1 + JITTER * random.uniform(-1, 1)
        self._limits[pid] = (self.settings.max_requests * spread, self.settings.max_age * spread)

    def equip(self, worker: Any) -> None:
        """Give a worker what it needs to know, before it is forked."""
        index, slot = self._place
        worker.index, worker.slot, worker.count = index, slot, self.crew.count
        worker.settings, worker.arena, worker.board = self.settings, self.arena, self.board
        worker.listeners = self.renewal.listeners()
        worker.cell = self.board.occupy(slot, index)
        worker.cell.generation = self.crew.generation
        worker.cell.started = time.time()
        worker.tmp.notify()  # else a worker that hangs before its first sign of life would never be missed

    def release(self, worker: Any) -> None:
        """Let go, in a worker just forked, of what is the master's alone, and see what is installed now."""
        self._installed.refresh()
        worker.cell.pid = os.getpid()
        os.close(self.lock)
        self.renewal.let_go()
        if self.management is not None:
            self.management.close()

    def dismiss(self, member: Member, number: int = signal.SIGTERM) -> None:
        """Tell a worker to leave."""
        now = time.monotonic()
        member.leaving = member.leaving or now
        member.told = now
        _kill(member.pid, number)

    def _press(self, now: float) -> None:
        """Make those leave who were told to."""
        for member in self.crew.members.values():
            if not member.leaving or member.killed:
                continue
            if now - member.leaving > self.settings.drain + GRACE_S:
                self.log.warning("Worker %s (pid %s) did not finish in time and is killed", member.index, member.pid)
                member.killed = True
                _kill(member.pid, signal.SIGKILL)
            elif now - member.told > REPEAT_S and member.slot >= 0 and not self.board.cells[member.slot].draining:
                self.dismiss(member)

    def _wear_out(self, now: float) -> None:
        """Choose a worker to be replaced because it has served enough; one at a time."""
        members = self.crew.members
        if self.renewal.under_way or not (self.settings.max_requests or self.settings.max_age) or not self.crew.complete():
            return
        for member in members.values():
            if member.leaving or member.slot < 0 or member.generation != self.crew.generation:
                continue
            requests, age_s = self._limits[member.pid]
            served, age = self.board.cells[member.slot].requests, now - member.started
            if (requests and served >= requests) or (age_s and age >= age_s):
                self.log.info("Worker %s (pid %s) has served %s requests in %.0f s and is replaced", member.index, member.pid, served, age)
                member.worn = True
                return

    def _signal_workers(self, number: int) -> None:
        for pid in list(self.crew.members):
            _kill(pid, number)

    def reap_workers(self) -> None:
        """Take note of every child that ended, whatever it was."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            member = self.crew.gone(pid, time.monotonic())
            if member is not None:
                self._worker_ended(member, code)
            elif not self.agent.ended(pid, code):
                self.renewal.ended(pid, code)  # anything else is an orphan that we inherited as process 1

    def _worker_ended(self, member: Member, code: int) -> None:
        self._limits.pop(member.pid, None)
        worker = self.WORKERS.pop(member.pid, None)
        if worker is not None:
            worker.tmp.close()
        if member.slot >= 0:
            self.board.vacate(member.slot)
        how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        if member.leaving:
            self.log.info("Worker %s (pid %s) has left: %s", member.index, member.pid, how)
            return
        wait_s = self.crew.wait(member.index, time.monotonic())
        self.log.error("Worker %s (pid %s) died: %s. The next one starts in %.1f s", member.index, member.pid, how, wait_s)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended and is about to be reaped
