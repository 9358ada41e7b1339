"""``gateway proxy``: from the command line to a master that serves.

The configuration is compiled in a child process, so the master imports no plugin, and a reload gives its workers plugins as
they are installed then. A configuration that is not in order is no reason not to serve: the last good one is.
"""

import os
import socket
from typing import Any, NoReturn

from gunicorn.app.base import BaseApplication

from gateway.agent.settings import NodeSettings
from gateway.agent.state import StateDirectory, StateInUse, read_json
from gateway.model.listener import Listener
from gateway.server.arbiter import NodeArbiter
from gateway.server.binding import PATIENCE_S, BindError, Bound, adopt, bind, passed_by_systemd, rebind
from gateway.server.crew import slots_for
from gateway.server.handover import Handover
from gateway.server.reloading import listeners_of, start_check
from gateway.shared.arena import Arena

WORKER = "gateway.server.worker.ProxyWorker"
#: a worker that gives no sign of life for this long is replaced
HEARTBEAT_S = 30
#: for what workers share, and for each worker's metrics. Only what is touched takes memory
ARENA_OCTETS = 1 << 28
SLOT_OCTETS = 1 << 24


class StartError(Exception):
    """The gateway cannot start; the text says why, a line for each reason."""


class ProxyApplication(BaseApplication):
    """What gunicorn asks of an application: settings, and nothing to call."""

    def __init__(self, settings: NodeSettings, worker_class: Any = WORKER) -> None:
        self.settings = settings
        self.worker_class = worker_class
        self.handover: Handover | None = None
        self.lock = -1
        self.bound: dict[str, Bound] = {}
        self.management: socket.socket | None = None
        #: what should be known of the start, logged as errors
        self.notices: list[str] = []
        super().__init__(prog="gateway")
        slots = slots_for(settings.workers)
        self.arena = Arena(ARENA_OCTETS + slots * SLOT_OCTETS)

    def load_config(self) -> None:
        """Set what gunicorn should know."""
        settings = self.settings
        values = {
            "proc_name": "gateway",
            "worker_class": self.worker_class,
            "workers": settings.workers,
            "timeout": HEARTBEAT_S,
            "graceful_timeout": int(settings.drain),
            "errorlog": str(settings.log_file or "-"),
            "loglevel": settings.log_level,
            "control_socket_disable": True,
            "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # touching a file on a slow disk could block
            "pre_fork": lambda arbiter, worker: arbiter.equip(worker),
            "post_fork": lambda arbiter, worker: arbiter.release(worker),
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """There is no WSGI application here."""
        return self

    def prepare(self) -> None:
        """Take the state directory, compile, bind. Raises StartError."""
        state = StateDirectory(self.settings.state)
        self.handover = handover = Handover.find()
        try:
            state.prepare()
            self.lock = handover.lock if handover else state.lock()
            report = read_json(state.check) if handover else self._compile(state)
            self._bind(listeners_of(report["listeners"], self.settings))
        except (StateInUse, BindError, OSError) as error:
            raise StartError(str(error)) from error

    def run(self) -> NoReturn:
        """Be the master until the gateway ends."""
        NodeArbiter(self).run()
        raise AssertionError("the master ends by SystemExit")

    def _compile(self, state: StateDirectory) -> dict[str, Any]:
        with start_check(self.settings, strict=False) as check:
            try:
                code = check.wait()
            except BaseException:  # Ctrl-C reaches us, not the check
                check.kill()
                raise
        report = read_json(state.check)
        problems = [_line(problem) for problem in report.get("problems", [])] or [f"the compiler ended with {code}"]
        self.notices += [f"{plugin} is not usable: {reason}" for plugin, reason in report.get("failed_plugins", {}).items()]
        if report.get("ok"):
            state.accept()
        elif report.get("stored"):
            self.notices += [f"{self.settings.config} is NOT in force. The last good configuration is served, because of:", *problems]
        else:
            raise StartError("\n".join(problems))
        return report

    def _bind(self, listeners: Any) -> None:
        handover = self.handover
        if handover is not None:
            found, unwanted = adopt(listeners, dict.fromkeys(handover.ours, ""), foreign=False)
            for fd in unwanted:
                os.close(fd)
            more, _ = adopt([listener for listener in listeners if listener.name not in found], dict.fromkeys(handover.foreign, ""))
            found.update(more)
        else:
            found, unwanted = adopt(listeners, passed_by_systemd())
            self.notices += [f"systemd passed socket {fd}, which no listener has as its name or address" for fd in unwanted]
        self.bound, _ = rebind(found, listeners, PATIENCE_S)
        if self.settings.management == "off":
            return
        if handover is not None and handover.management >= 0:
            self.management = socket.socket(fileno=handover.management)
            return
        self.management = bind(Listener(name="management", address=self.settings.management), PATIENCE_S).sockets[0]


def _line(problem: dict[str, Any]) -> str:
    place = f"{problem['file']}:{problem['line']}: " if problem.get("line") else f"{problem['file']}: " if problem.get("file") else ""
    path = f"{problem['path']}: " if problem.get("path") else ""
    return f"{place}{path}{problem['message']}"
