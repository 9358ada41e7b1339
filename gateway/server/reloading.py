"""A reload, step by step, and what is written down about it.

1. *checking*: a child process, which sees plugins as they are installed now, compiles the configuration. When it cannot, the
   reload ends here and nothing has changed.
2. *starting*: listeners are bound, new workers start beside the old ones, which go on.
3. *done*: every new worker is ready; the old ones are told to leave. Or *failed*: new workers did not become ready in time,
   and are told to leave instead.

Each step goes into ``reload.json`` in the state directory, where ``gateway reload`` and ``/status`` read it.
"""

import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from gateway.agent.settings import NodeSettings
from gateway.agent.state import StateDirectory, read_json, replace
from gateway.control.load import load
from gateway.model.listener import Listener
from gateway.server.children import execute

#: a compile of 100,000 consumers from YAML takes a minute on a slow machine
CHECK_S = 300.0

Phase = Literal["checking", "starting", "done", "failed"]


class Reload:
    """One reload. ``number`` counts them for as long as the state directory lives."""

    def __init__(self, state: StateDirectory, upgrade: bool = False, number: int = 0) -> None:
        self.number = number or int(read_json(state.reload).get("number", 0)) + 1
        self.upgrade = upgrade
        self.phase: Phase = "checking"
        self.reason = ""
        self.problems: list[dict[str, Any]] = []
        self.failed_plugins: dict[str, str] = {}
        #: of the configuration that was checked, by name
        self.listeners: dict[str, Any] = {}
        #: when new workers must be ready (``time.monotonic()``)
        self.deadline = 0.0
        #: when they all were; 0.0 = they are not
        self.complete = 0.0
        self._state = state
        self._began = time.monotonic()
        self._at = datetime.now(UTC)
        self._check: subprocess.Popen[bytes] | None = None

    @property
    def title(self) -> str:
        """What it is, for people."""
        return "Upgrade" if self.upgrade else "Reload"

    @property
    def check_pid(self) -> int:
        """Process id of the check; 0 when none runs."""
        return self._check.pid if self._check else 0

    def check(self, settings: NodeSettings) -> None:
        """Start the check. Raises OSError."""
        self._state.check.unlink(missing_ok=True)
        self._check = start_check(settings, strict=True, code=self.upgrade)
        self._write()

    def overdue(self) -> bool:
        """Tell whether the check takes too long; it is then ended."""
        if self._check is None or time.monotonic() - self._began < CHECK_S:
            return False
        os.kill(self._check.pid, signal.SIGKILL)
        return True

    def checked(self, code: int) -> bool:
        """Take in what the check found; returns whether the reload can go on."""
        if self._check is not None:
            self._check.returncode = code
            self._check = None
        report = read_json(self._state.check)
        self.failed_plugins = report.get("failed_plugins", {})
        self.problems = report.get("problems", [])
        self.listeners = report.get("listeners", {})
        if code or not report.get("ok"):
            count = len(self.problems)
            problems = f"the configuration has {count} {'problem' if count == 1 else 'problems'}"
            self.reason = problems if count else f"the check ended with {code}"
            return False
        return True

    def starting(self, patience_s: float) -> None:
        """New workers start now and have this long to become ready."""
        self.phase = "starting"
        self.deadline = time.monotonic() + patience_s
        self._write()

    def done(self) -> None:
        """Every new worker is ready."""
        self.phase = "done"
        self._write()

    def fail(self, reason: str) -> None:
        """Nothing comes of it."""
        self.phase = "failed"
        self.reason = reason
        self._write()

    def abandon(self) -> None:
        """The gateway stops while this goes on."""
        if self._check is not None:
            os.kill(self._check.pid, signal.SIGKILL)
        self.fail("the gateway was stopped")

    def _write(self) -> None:
        replace(
            self._state.reload,
            orjson.dumps(
                {
                    "number": self.number,
                    "kind": "upgrade" if self.upgrade else "reload",
                    "state": self.phase,
                    "reason": self.reason,
                    "problems": self.problems,
                    "failed_plugins": self.failed_plugins,
                    "started": self._at.isoformat(timespec="milliseconds"),
                    "took_s": round(time.monotonic() - self._began, 3),
                }
            ),
        )


def listeners_of(documents: dict[str, Any], settings: NodeSettings) -> list[Listener]:
    """Return the listeners of a configuration, the first one's address replaced as the command line says."""
    listeners = list(load({"revision": 0, "digest": "", "listeners": documents}).listeners.values())
    if settings.listen and listeners:
        listeners[0] = listeners[0].model_copy(update={"address": settings.listen})
    return listeners


def start_check(settings: NodeSettings, strict: bool, code: bool = False) -> subprocess.Popen[bytes]:
    """Compile the configuration in a child process, which leaves the candidate and a report in the state directory.

    ``strict``: a plugin that is needed and broken is a problem. ``code``: the program itself is loaded too, as installed now.
    """
    modules = ["gateway.cli", "gateway.server.application", "gateway.server.worker"] if code else []
    told = settings.model_dump(mode="json", include={"config", "state", "log_file", "log_level"})
    return execute("gateway.agent.check", {**told, "strict": strict, "modules": modules})
