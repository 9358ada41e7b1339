"""Load from the core that the proxy does not have: wrk, or requests at a given rate."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scenarios import Scenario

SCRIPT = Path(__file__).with_name("load.lua")
PACED = Path(__file__).with_name("paced.py")


@dataclass(frozen=True)
class Load:
    """What the clients saw in one measurement."""

    requests: int
    duration_s: float
    bytes: int
    errors: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def per_s(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.duration_s


def run(scenario: Scenario, port: int, core: int, seconds: float, rate: float = 0.0) -> Load:
    """Send requests for this long: so many a second, or each connection the next as soon as it has the answer to the last."""
    if rate:
        fields = [f"{name}: {value}" for name, value in scenario.headers]
        numbers = [str(rate), str(seconds), str(scenario.connections)]
        return _summary(core, seconds, [sys.executable, str(PACED), str(port), scenario.path, *numbers, *fields], scenario)
    headers = [f"--header={name}: {value}" for name, value in scenario.headers]
    # wrk takes whole seconds only.
    command = [
        "wrk", "--threads", "1", "--connections", str(scenario.connections),
        "--duration", f"{max(1, round(seconds))}s", "--timeout", "10s", "--latency", "--script", str(SCRIPT), *headers,
        f"http://127.0.0.1:{port}{scenario.path}", "--", *scenario.load,
    ]  # fmt: skip
    return _summary(core, seconds, command, scenario)


def _summary(core: int, seconds: float, command: list[str], scenario: Scenario) -> Load:
    """Run a load generator and read the line that begins with SUMMARY."""
    command = ["taskset", "--cpu-list", str(core), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    for line in done.stdout.splitlines():
        if line.startswith("SUMMARY "):
            seen = json.loads(line.removeprefix("SUMMARY "))
            # Closing is what was asked for with `Connection: close`, though wrk may count it as a failed read.
            kinds = ["connect", "write", "status", "timeout"] + ([] if scenario.new_connections else ["read"])
            return Load(
                requests=seen["requests"], duration_s=seen["duration_us"] / 1e6,
                bytes=seen["bytes"], errors=sum(seen[kind] for kind in kinds),
                p50_ms=seen["p50_us"] / 1e3, p99_ms=seen["p99_us"] / 1e3, max_ms=seen["max_us"] / 1e3,
            )  # fmt: skip
    raise RuntimeError(f"the load generator ended with {done.returncode}: {done.stdout}{done.stderr}")
