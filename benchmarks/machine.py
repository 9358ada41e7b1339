"""Cores, free ports, and processes whose CPU time is read from the operating system.

CPU time is the first field of ``/proc/PID/task/TID/schedstat``: nanoseconds on a core, user and system together, for
every thread of a process and of its descendants. ``/proc/PID/stat`` says the same in ticks of 10 ms and also counts
children that have ended, so it serves as the cross-check. The second field of schedstat is the time a thread could have
run and was not let: it tells how much something else wanted the core.
"""

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int]:
    """Return the core of the proxy under test, and the core of load generator and backend."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise SystemExit("A benchmark needs two cores: one for the proxy, one for load and backend.")
    return available[0], available[1]


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processor() -> str:
    """Name the processor, the number of cores and the kernel."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores, Linux {platform.release()}"
    return f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"


def end_in_order() -> None:
    """Make a request to terminate an exception, so that everything that was started is stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: sys.exit(128 + received))


def stolen() -> tuple[int, int]:
    """Return ticks in which the host kept a core from this virtual machine, and ticks in all, since the start."""
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


def output(*command: str) -> str:
    """Return what a command prints on either stream; empty when it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def find_program(name: str) -> str:
    """Return the path of a program, also when it lies in a directory for administrators; empty when it is not there."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin") or ""


def descendants(root: int) -> list[int]:
    """Return the process and all its descendants, as they are now."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


@dataclass(frozen=True)
class Usage:
    """Nanoseconds, since it started, of a process and its descendants."""

    #: on a core
    cpu: int = 0
    #: on a core, in ticks
    ticks: int = 0
    #: kept waiting for a core
    waited: int = 0

    def __sub__(self, before: "Usage") -> "Usage":
        return Usage(self.cpu - before.cpu, self.ticks - before.ticks, self.waited - before.waited)


def usage(root: int) -> Usage:
    """Return what the process and its descendants used so far."""
    cpu = ticks = waited = 0
    for pid in descendants(root):
        fields = _stat(pid)
        if fields:
            ticks += sum(int(value) for value in fields[11:15])  # utime, stime, and those of children that have ended
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                ran, kept, *_ = Path(f"/proc/{pid}/task/{task}/schedstat").read_bytes().split()
                cpu += int(ran)
                waited += int(kept)
        except (OSError, ValueError):
            continue  # it ended between the two looks
    return Usage(cpu, ticks * TICK_NS, waited)


def memory_kib(pid: int) -> dict[str, int]:
    """Return resident and proportional memory of one process: ``{"Rss": ..., "Pss": ...}`` in KiB."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        word, _, rest = line.partition(":")
        if word in ("Rss", "Pss"):
            found[word] = int(rest.split()[0])
    return found


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat that follow the program's name: state, parent, and so on."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return []


class Process:
    """A program pinned to a core (or to several, as ``taskset`` lists them), with its output in a file."""

    def __init__(self, command: Sequence[str], core: int | str, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = directory / "output.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                cwd=directory, env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process that was started; taskset replaces itself with the program."""
        return self.popen.pid

    def usage(self) -> Usage:
        """Return what it and its descendants used so far."""
        return usage(self.pid)

    def wait_until_it_answers(self, port: int, request: bytes, within_s: float = 60) -> None:
        """Send the request again and again until the status is 200; raise RuntimeError with the program's output otherwise."""
        last = b""
        end = time.monotonic() + within_s
        while time.monotonic() < end and self.popen.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                    client.sendall(request)
                    last = client.recv(4096)
                    if last.split(b" ", 2)[1:2] == [b"200"]:
                        return
            except OSError:
                pass
            time.sleep(0.1)
        tail = self.log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{self.command[0]} does not answer with 200 on port {port}: {last[:200]!r}\n{tail}")

    def stop(self) -> None:
        """End it in its own way, then for good."""
        family = descendants(self.pid)
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pid in family[1:]:
            try:
                # Only what still belongs to the session that was opened for it; the number may be somebody else's by now.
                if os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
