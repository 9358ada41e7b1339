"""A gateway whose workers do almost nothing, for tests of the processes around them.

A worker answers every request with its process id; ``/slow/SECONDS`` takes its time. It follows a real worker's rules: it tells the
board what it does, talks to the agent, drains on TERM. The file named by ``STANDIN_BROKEN``, if it is there, says how workers
misbehave: ``exit`` at boot, ``hang`` at boot (never ready), ``stall`` (no sign of life).
"""

import os
import signal
import sys
import time
from pathlib import Path

from gunicorn.workers.base import Worker


def misbehaviour() -> str:
    path = Path(os.environ.get("STANDIN_BROKEN", "/nonexistent"))
    return path.read_text().strip() if path.exists() else ""


class StandIn(Worker):
    def load_wsgi(self):
        pass

    def init_process(self):
        from gevent import monkey

        monkey.patch_all()
        if misbehaviour() == "exit":
            sys.exit(3)
        super().init_process()

    def init_signals(self):
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        import gevent

        for number in (signal.SIGTERM, signal.SIGUSR1):
            gevent.signal_handler(number, self.told, number)

    def told(self, number):
        if number == signal.SIGUSR1:
            self.log.reopen_files()
            self.log.info("worker %s reopened its log", self.index)
            return
        self.alive = False
        self.cell.draining = True

    def run(self):
        import gevent

        from gateway.agent.state import StateDirectory
        from gateway.control import store
        from gateway.server.companion import Companion

        state = StateDirectory(self.settings.state)
        self.document = store.read(state.snapshot)
        self.busy = 0
        handlers = {"snapshot": self.whole, "delta": self.delta, "report": self.report}
        self.companion = Companion(state.socket, self.hello, handlers, self.log)
        self.companion.start()
        for sock, _ in self.listeners:
            gevent.spawn(self.accept, sock)
        while misbehaviour() == "hang":
            self.notify()
            gevent.sleep(0.05)
        while self.alive and os.getppid() == self.ppid:
            if misbehaviour() == "stall":
                time.sleep(3600)
            self.notify()
            self.cell.heartbeat, self.cell.revision = time.monotonic(), self.document["revision"]
            self.cell.in_flight = self.busy
            self.cell.ready = True
            gevent.sleep(0.02)
        limit = time.monotonic() + self.settings.drain
        while self.busy and time.monotonic() < limit:
            self.notify()
            gevent.sleep(0.02)
        self.companion.stop()

    def hello(self):
        return {
            "worker": self.index, "pid": os.getpid(), "revision": self.document["revision"], "digest": self.document["digest"],
            "plugins": {}, "failed_plugins": {},
        }  # fmt: skip

    def whole(self, message):
        from gateway.control import store

        self.document = store.read(Path(message["path"]))
        self.companion.send("applied", revision=self.document["revision"], digest=self.document["digest"], took_ms=1.0)

    def delta(self, message):
        from gateway.control.delta import apply
        from gateway.control.load import Mismatch

        try:
            self.document = apply(self.document, message)
        except Mismatch as error:
            self.companion.send("refused", revision=message["revision"], errors=[str(error)], wanted="snapshot")
            return
        self.companion.send("applied", revision=self.document["revision"], digest=self.document["digest"], took_ms=1.0)

    def report(self, _):
        self.companion.send("status", pools={})

    def accept(self, sock):
        import gevent
        import gevent.socket

        while self.alive:
            try:
                fd, _ = sock._accept()
            except BlockingIOError:
                with gevent.Timeout(0.05, False):
                    gevent.socket.wait_read(sock.fileno())
            else:
                gevent.spawn(self.answer, gevent.socket.socket(fileno=fd))

    def answer(self, sock):
        import gevent

        self.busy += 1
        try:
            request = sock.recv(65536).decode()
            if not request:
                return
            path = request.split()[1]
            if path.startswith("/slow/"):
                gevent.sleep(float(path.removeprefix("/slow/")))
            self.cell.requests += 1
            body = f"{os.getpid()} {self.index} {self.document['revision']}"
            sock.sendall(f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        finally:
            self.busy -= 1
            sock.close()


if __name__ == "__main__":
    import gateway.server.application as application

    application.WORKER = StandIn
    application.HEARTBEAT_S = int(os.environ.get("STANDIN_HEARTBEAT_S", "30"))
    application.ProxyApplication.__init__.__defaults__ = (StandIn,)
    from gateway.cli import main

    main()
