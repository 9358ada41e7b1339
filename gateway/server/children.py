"""Programs that the master starts beside its workers: the agent, which should always run, and checks, which end by themselves.

They are executed, not forked, so that they see plugins as they are installed now and share no state with the
master. They get a process group of their own: Ctrl-C reaches the master only, which then ends them in the right order.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import orjson

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 10.0
#: an agent that lived this long is not what fails at every start
SETTLED_S = 10.0
#: how long an agent that should be succeeded goes on when its successor does not come up
SUCCESSION_S = 30.0
STOP_S = 3.0


def execute(module: str, arguments: dict[str, Any], descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start ``python -m module`` with its arguments as one JSON object. Raises OSError."""
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, orjson.dumps(arguments, default=str).decode()],
        stdin=subprocess.DEVNULL,
        pass_fds=tuple(descriptors),
        env=environment,
        process_group=0,
    )


class AgentKeeper:
    """Keeps one agent running, and lets a new one take over from the old without a gap."""

    def __init__(self, arguments: dict[str, Any], descriptors: Sequence[int], log: Any) -> None:
        self._arguments = arguments
        self._descriptors = tuple(descriptors)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        #: process ids of agents that go on until their successor is up
        self._outgoing: list[int] = []
        self._started = 0.0
        self._not_before = 0.0
        self._failures = 0
        self._stopping = False
        #: the agents of the program before this one go on until ``succeed``
        self._waiting = False

    @property
    def pid(self) -> int:
        """Process id of the present agent; 0 when it is being started again."""
        return self._process.pid if self._process else 0

    @property
    def pids(self) -> list[int]:
        """Process ids of every agent there is."""
        return [*self._outgoing, *([self.pid] if self.pid else [])]

    def adopt(self, pids: Sequence[int]) -> None:
        """Let the agents of the program that this one replaced go on for now."""
        self._outgoing += pids
        self._waiting = True

    def succeed(self) -> None:
        """Start a new agent, which takes over from the present one."""
        self._outgoing += [self.pid] if self.pid else []
        self._process = None
        self._waiting = False
        self._failures = 0
        self._not_before = 0.0
        self.tend(0)

    def tend(self, announced: int) -> None:
        """Start the agent when it is due; ``announced`` is the process id of the last agent that said it was up."""
        now = time.monotonic()
        self._waiting = self._waiting and bool(self._outgoing)
        if self._process is None and not (self._stopping or self._waiting) and now >= self._not_before:
            self._start(now)
        if self._outgoing and self._process is not None and (announced == self.pid or now - self._started > SUCCESSION_S):
            for pid in self._outgoing:
                _kill(pid, signal.SIGTERM)
            self._outgoing.clear()

    @property
    def unsettled(self) -> bool:
        """Whether something is due soon."""
        return self._process is None or bool(self._outgoing)

    def ended(self, pid: int, code: int) -> bool:
        """Take note that a process ended; returns False when it was no agent of ours."""
        if pid in self._outgoing:
            self._outgoing.remove(pid)
            return True
        if pid != self.pid or self._process is None:
            return False
        now = time.monotonic()
        self._process.returncode = code
        self._process = None
        if self._stopping:
            return True
        self._failures = 1 if now - self._started >= SETTLED_S else self._failures + 1
        wait_s = min(FIRST_BACKOFF_S * 2.0 ** (self._failures - 1), LONGEST_BACKOFF_S)
        self._not_before = now + wait_s
        self._log.error("The agent (pid %s) ended with %s; the next one starts in %.1f s. Workers go on.", pid, code, wait_s)
        return True

    def signal(self, number: int) -> None:
        """Send a signal to every agent."""
        for pid in self.pids:
            _kill(pid, number)

    def stop(self) -> None:
        """Start no further agent, and ask those there are to end."""
        self._stopping = True
        self.signal(signal.SIGTERM)

    def _start(self, now: float) -> None:
        self._started = now
        try:
            self._process = execute("gateway.agent", self._arguments, self._descriptors)
        except OSError as error:
            self._failures += 1
            self._not_before = now + LONGEST_BACKOFF_S
            self._log.error("The agent cannot be started: %s", error)
        else:
            self._log.info("Agent started (pid %s)", self.pid)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended and is about to be reaped
