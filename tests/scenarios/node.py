"""A gateway whose configuration is changed without waiting, and whose processes are signalled and counted."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.testing import RunningGateway

PATIENCE_S = 30.0


def eventually(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait until the condition holds and return what it returned."""
    limit = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < limit, f"never happened: {what}"
        time.sleep(0.02)
    return found


class Node(RunningGateway):
    """A running gateway and the processes it consists of."""

    def __init__(
        self, folder: Path, configuration: dict[str, Any], *, env: Mapping[str, str] | None = None, python: str | Path = sys.executable,
        **options: Any,
    ) -> None:  # fmt: skip
        self.environment = dict(env or {})
        self.python = str(python)
        super().__init__(folder, configuration, env=self.environment, python=python, **options)
        self.wait_for(lambda status: all(worker["connected"] for worker in status["workers"]), "to have workers that talk to the agent")

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def write(self, **pieces: Any) -> None:
        """Put a configuration in place, and do not wait for it."""
        self.configuration.update(pieces)
        self._write()

    def put(self, octets: bytes) -> None:
        """Put these octets where the configuration is."""
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(octets)
        fresh.replace(self._file)

    def applied(self, sign: Callable[[], object], what: str) -> dict[str, Any]:
        """Wait for the sign of a new configuration, then until every worker runs from it; return the status."""
        eventually(sign, what)
        status: dict[str, Any] = eventually(self._agreed, "every worker runs from the newest configuration")
        return status

    def _agreed(self) -> dict[str, Any] | None:
        status = self.status()
        return status if all(worker.get("digest") == status["digest"] for worker in status["workers"]) else None

    def workers(self) -> dict[int, int]:
        """Return the process ids of the workers that serve, by index."""
        return {worker["worker"]: worker["pid"] for worker in self.status()["workers"] if worker["ready"] and not worker["draining"]}

    def agent(self) -> int:
        """Return the process id of the agent: 0 while there is none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        agents = [int(child) for child in children if b"gateway.agent" in Path(f"/proc/{child}/cmdline").read_bytes()]
        return agents[-1] if agents else 0

    def reload(self) -> str:
        """Run ``gateway reload`` to its end and return what it printed."""
        command = [self.python, "-m", "gateway", "reload", "--state", str(self.state)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **self.environment})
        assert done.returncode == 0, done.stdout + done.stderr + self.log[-2000:]
        return done.stdout + done.stderr

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def ports_of(self, pid: int) -> set[int]:
        """Return the ports of the clients that a worker has a connection with."""
        here = int(self.address.rpartition(":")[2])
        sockets = set()
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(os.readlink(descriptor))
            except OSError:  # closed meanwhile
                continue
        found = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = (int(end.partition(":")[2], 16) for end in fields[1:3])
            if local == here and remote and f"socket:[{fields[9]}]" in sockets:
                found.add(remote)
        return found


def memory_kib(pid: int) -> int:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
