"""Measurements in interleaved rounds, so that whatever else the machine does meets every proxy alike."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import load, machine
from benchmarks.load import Load
from benchmarks.proxies import Proxy, Setup, nginx
from benchmarks.scenarios import Scenario

#: Stands for the backend asked directly: what load generator and backend reach with nobody between them.
DIRECT = "direct"
SINK = Path(__file__).with_name("sink.py")


@dataclass(frozen=True)
class Measurement:
    """One proxy in one round."""

    load: Load
    cpu_s: float
    #: the same by /proc/PID/stat, in ticks of 10 ms
    cpu_by_ticks_s: float
    #: time it could have run while something else had its core
    waited_s: float

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for a request."""
        return self.cpu_s / max(1, self.load.requests) * 1e6

    @property
    def busy(self) -> float:
        """Share of its core that the proxy used; well below 1 it had to wait for load or backend."""
        return self.cpu_s / self.load.duration_s

    @property
    def disturbed(self) -> float:
        """Share of the time in which something else had the core that the proxy wanted."""
        return self.waited_s / self.load.duration_s

    def __str__(self) -> str:
        seen = self.load
        return (
            f"{self.cpu_us:8.1f} us {seen.per_s:9.0f}/s {self.busy:4.0%} busy {self.disturbed:4.0%} disturbed"
            f"  p50 {seen.p50_ms:.2f} p99 {seen.p99_ms:.2f} ms{f'  {seen.errors} ERRORS' if seen.errors else ''}"
        )


@dataclass
class Series:
    """All rounds of one proxy in one scenario."""

    measurements: list[Measurement] = field(default_factory=list)

    def middle(self, attribute: str) -> float:
        """Return the median of an attribute of the measurements, or of their loads."""
        return median(getattr(m if hasattr(m, attribute) else m.load, attribute) for m in self.measurements)

    @property
    def errors(self) -> int:
        """Requests without a good answer, in all rounds."""
        return sum(m.load.errors for m in self.measurements)

    def ratio(self, other: "Series") -> float:
        """Return the median of the ratios of CPU per request to another proxy's in the same round."""
        pairs = zip(self.measurements, other.measurements, strict=True)
        return median(mine.cpu_us / its.cpu_us for mine, its in pairs)

    def added_ms(self, direct: "Series") -> float:
        """Return the median of what the proxy adds to the 99th percentile of the backend asked directly in the same round."""
        pairs = zip(self.measurements, direct.measurements, strict=True)
        return median(mine.load.p99_ms - its.load.p99_ms for mine, its in pairs)


@dataclass
class Running:
    """A proxy that answers, and what it uses when nobody asks it anything."""

    process: machine.Process
    port: int
    idle_per_s: float = 0.0


@contextmanager
def started(proxy: Proxy, scenario: Scenario, backend: str, core: int) -> Iterator[Running]:
    """Start a proxy for a scenario, wait until it answers and until what it does at start is over."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{proxy.name}-") as name:
        port = machine.free_port()
        setup = Setup(Path(name), port, backend, core, scenario.chain, scenario.routes, scenario.consumers)
        process = proxy.start(setup)
        try:
            process.wait_until_it_answers(port, probe(scenario), within_s=20 + scenario.consumers / 1000)
            yield Running(process, port)
        finally:
            process.stop()


def probe(scenario: Scenario) -> bytes:
    """Return the request whose answer says that a proxy is ready."""
    path = "/service-0/items/1" if scenario.load[0] == "mix" else scenario.path
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: key-000042\r\nConnection: close\r\n\r\n".encode()


def settle(process: machine.Process, within_s: float = 90) -> float:
    """Wait until the proxy has finished what it does after its start; return seconds of CPU that it uses in an idle second."""
    end = time.monotonic() + within_s
    while True:
        before = process.usage()
        time.sleep(0.5)
        idle = (process.usage() - before).cpu / 1e9 / 0.5
        if idle < 0.05 or time.monotonic() > end:
            return idle


def measure(running: Running, scenario: Scenario, core: int, seconds: float, rate: float = 0.0) -> Measurement:
    """Let the proxy work for a while, warm, and account for what it used beyond what it uses idle."""
    load.run(scenario, running.port, core, 1, rate)
    before = running.process.usage()
    begun = time.monotonic()
    seen = load.run(scenario, running.port, core, seconds, rate)
    used = running.process.usage() - before
    idle = running.idle_per_s * (time.monotonic() - begun)
    return Measurement(seen, max(0.0, used.cpu / 1e9 - idle), max(0.0, used.ticks / 1e9 - idle), used.waited / 1e9)


def run(scenario: Scenario, proxies: Sequence[Proxy], rounds: int, seconds: float) -> dict[str, Series]:
    """Start all the proxies, measure each once a round in turning order, stop them; return the series by name."""
    proxy_core, load_core = machine.cores()
    series: dict[str, Series] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-backend-")))
        port = machine.free_port()
        if scenario.reads:
            backend = machine.Process([sys.executable, str(SINK), str(port)], load_core, directory)
        else:
            backend = nginx.start_backend(directory, port, load_core)
        stack.callback(backend.stop)
        backend.wait_until_it_answers(port, probe(scenario))
        running = {DIRECT: Running(backend, port)}
        for proxy in proxies:
            try:
                running[proxy.name] = stack.enter_context(started(proxy, scenario, f"127.0.0.1:{port}", proxy_core))
            except (RuntimeError, OSError) as error:
                print(f"{proxy.name} is left out of {scenario.name}: {error}", file=sys.stderr)
        for name, one in running.items():
            one.idle_per_s = settle(one.process)
            series[name] = Series()
        rate = 0.0
        if scenario.paced and proxies:
            rate = load.run(scenario, running[proxies[0].name].port, load_core, 2).per_s / 2
            rate = min(rate, 16_000)  # more is beyond what the pacing client can do beside the backend
        names = list(running)
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                measurement = measure(running[name], scenario, load_core, seconds, rate)
                series[name].measurements.append(measurement)
                print(f"{scenario.name:9} round {number + 1} {name:13} {measurement}", file=sys.stderr)
    return series
