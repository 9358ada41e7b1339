"""What clients notice while things change, break, or are held up by others.

``python -m benchmarks.resilience [--only NAMES] [--seconds 10] [--rate 1000]``. Requests come at a steady rate over 32 kept connections to
a gateway with two workers and two backends; meanwhile something is done to it. Failed is every request without a whole good answer.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import machine
from benchmarks.machine import Process
from benchmarks.proxies import nginx

HERE = Path(__file__).parent
CONNECTIONS = 32
SLOW = 1000


class Scene:
    """A gateway with two workers, two backends, and a configuration file that can be changed."""

    def __init__(self, stack: ExitStack) -> None:
        self.directory = Path(stack.enter_context(TemporaryDirectory(prefix="bench-resilience-")))
        self.port, self.management, *self.backend_ports = (machine.free_port() for _ in range(4))
        self.backends = [self.start_backend(number) for number in range(2)]
        stack.callback(self.stop_backends)
        self.states = ["ready", "ready"]
        self.revision = 0
        self.configure()
        cores = ",".join(map(str, machine.cores()))
        command = [
            sys.executable, "-m", "gateway", "proxy", "--config", str(self.directory / "gateway.json"),
            "--workers", "2", "--state", str(self.directory / "state"), "--management", f"127.0.0.1:{self.management}",
        ]  # fmt: skip
        self.gateway = Process(command, cores, self.directory)
        stack.callback(self.gateway.stop)
        self.gateway.wait_until_it_answers(self.port, b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    def start_backend(self, number: int) -> Process:
        """Start one of the two, on the port it always has."""
        directory = self.directory / f"backend-{number}"
        directory.mkdir(exist_ok=True)
        return nginx.start_backend(directory, self.backend_ports[number], machine.cores()[1])

    def stop_backends(self) -> None:
        """Stop both, whichever are running by now."""
        for backend in self.backends:
            backend.stop()

    def configure(self) -> None:
        """Write the configuration, with something different each time, by renaming as careful editors do."""
        self.revision += 1
        members = [
            {"address": f"127.0.0.1:{port}", "state": state} for port, state in zip(self.backend_ports, self.states, strict=True)
        ]
        extra = [{"name": f"extra-{self.revision}", "match": {"paths": [f"/extra-{self.revision}"]}, "pool": "backends"}]
        document = {
            "version": 1,
            "listeners": [{"name": "clients", "address": f"127.0.0.1:{self.port}", "http": {"head_s": 5, "body_idle_s": 5}}],
            "pools": [{"name": "backends", "members": members, "health": {"passive": {"consecutive_failures": 3, "ejection_s": 1}}}],
            "routes": [{"name": "all", "match": {"paths": ["/"]}, "pool": "backends"}, *extra],
        }
        path = self.directory / "gateway.json.new"
        path.write_text(json.dumps(document))
        path.rename(self.directory / "gateway.json")

    def workers(self) -> list[int]:
        """Return the processes that have client connections: the children of the master that were not started as the agent."""
        found = []
        for pid in machine.descendants(self.gateway.pid)[1:]:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if command and b"gateway.agent" not in command:
                found.append(pid)
        return found

    def memory_mib(self) -> float:
        """Return the memory of the largest worker."""
        return max(machine.memory_kib(pid)["Rss"] for pid in self.workers()) / 1024


def every(seconds: float, act: Callable[[Scene, int], None]) -> Callable[[Scene, float], None]:
    """Return a disturbance that acts again and again, the first time after half of the interval."""

    def disturb(scene: Scene, duration: float) -> None:
        end = time.monotonic() + duration
        time.sleep(seconds / 2)
        count = 0
        while time.monotonic() < end:
            act(scene, count)
            count += 1
            time.sleep(seconds)

    return disturb


def reconfigure(scene: Scene, count: int) -> None:
    """Change a route."""
    scene.configure()


def hang_up(scene: Scene, count: int) -> None:
    """Ask for a reload with new workers."""
    os.kill(scene.gateway.pid, signal.SIGHUP)


def drain(scene: Scene, count: int) -> None:
    """Take the first member out gently, then hard, then bring it back."""
    scene.states[0] = ("drain", "maintenance", "ready")[count % 3]
    scene.configure()


def kill_backend(scene: Scene, count: int) -> None:
    """Kill the second backend, worker and all; the next time start it again."""
    if count % 2:
        scene.backends[1] = scene.start_backend(1)
        return
    for pid in reversed(machine.descendants(scene.backends[1].pid)):
        os.kill(pid, signal.SIGKILL)
    scene.backends[1].popen.wait()


def kill_worker(scene: Scene, count: int) -> None:
    """Kill a worker; what it was working on is lost, and nothing else."""
    os.kill(scene.workers()[0], signal.SIGKILL)


def slow(kind: str) -> Callable[[Scene, float], None]:
    """Return an attack of a thousand connections."""

    def disturb(scene: Scene, duration: float) -> None:
        command = [sys.executable, str(HERE / "slow.py"), str(scene.port), kind, str(SLOW), str(duration)]
        print(subprocess.run(command, capture_output=True, text=True).stdout.strip(), file=sys.stderr)

    return disturb


DISTURBANCES: dict[str, tuple[str, Callable[[Scene, float], None]]] = {
    "quiet": ("Nothing", lambda scene, duration: time.sleep(duration)),
    "configuration": ("A new configuration every 100 ms", every(0.1, reconfigure)),
    "hup": ("SIGHUP every 3 s", every(3, hang_up)),
    "drain": ("A member drained, taken out, brought back, one step a second", every(1, drain)),
    "backend": ("A backend killed and started again, every 2 s", every(2, kill_backend)),
    "worker": ("A worker killed every 3 s", every(3, kill_worker)),
    "heads": (f"{SLOW} clients that send a head one octet a second", slow("heads")),
    "bodies": (f"{SLOW} clients that send content one octet a second", slow("bodies")),
    "reads": (f"{SLOW} clients that read 1 MiB one octet a second", slow("reads")),
}


def run(name: str, seconds: float, rate: float) -> dict[str, Any]:
    """Return what the clients saw while the disturbance went on, and the memory of the largest worker after it."""
    with ExitStack() as stack:
        scene = Scene(stack)
        command = [sys.executable, str(HERE / "paced.py"), str(scene.port), "/small", str(rate), str(seconds), str(CONNECTIONS)]
        clients = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        DISTURBANCES[name][1](scene, seconds)
        memory = scene.memory_mib()
        printed = clients.communicate(timeout=60)[0]
    for line in printed.splitlines():
        if line.startswith("SUMMARY "):
            return {**json.loads(line.removeprefix("SUMMARY ")), "memory_mib": memory}
    raise RuntimeError(f"the clients of {name} ended with {clients.returncode}")


def main() -> None:
    """Run the chosen disturbances one after the other and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resilience", description="What clients notice while things change.")
    parser.add_argument("--only", default="", metavar="NAMES", help="of " + ", ".join(DISTURBANCES))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1000, help="requests a second")
    given = parser.parse_args()
    machine.end_in_order()
    print("| meanwhile | requests | failed | sent again | p50 ms | p99 ms | longest ms | worker MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in given.only.split(",") if given.only else DISTURBANCES:
        seen = run(name, given.seconds, given.rate)
        times = " | ".join(f"{seen[key] / 1000:.1f}" for key in ("p50_us", "p99_us", "max_us"))
        failed = f"{seen['status']} {seen['reasons']}" if seen["status"] else "0"
        print(f"| {DISTURBANCES[name][0]} | {seen['requests']:,} | {failed} | {seen['again']} | {times} | {seen['memory_mib']:.0f} |")


if __name__ == "__main__":
    main()
