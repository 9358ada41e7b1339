"""The tables of RESULTS.md, and the same figures as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.proxies import Proxy
from benchmarks.rounds import DIRECT, Measurement, Series
from benchmarks.scenarios import MIB, Scenario

HEAD = """# Results

Made by `{command}`, which measures again and writes this file.

- Machine: {machine}; one core for the proxy, the other for load generator (wrk {wrk}) and backend.
- {rounds} interleaved rounds of {seconds:g} s for each proxy, each after a second of warming up; the figures are medians over the rounds.
- CPU is user and system time of all the proxy's processes for one request, less what they use when idle. Ratios are taken within a round.
- *busy* is the share of its core that the proxy used. Where it is well below 100 % the proxy waited for load generator and backend, so
  requests per second and latency tell about these, and only the CPU figure about the proxy.
- The host kept back {stolen:.1%} of the machine's time; that is in none of the CPU figures, but in latency and throughput.
- *disturbed* is the share of the time in which a thread of the proxy could have run and something else had the core
  (for proxies of many threads, also its others); on a quiet machine it is close to 0.
- Latency is that of 64 clients that ask again as soon as they are answered, so it follows from throughput; except at half load.
- Versions: {versions}.
"""


Results = Mapping[str, tuple[Scenario, dict[str, Series]]]


def markdown(head: Mapping[str, Any], results: Results, proxies: Sequence[Proxy]) -> str:
    """Return the whole of RESULTS.md."""
    parts = [HEAD.format(**head)]
    titles = {proxy.name: proxy.title for proxy in proxies} | {DIRECT: "*backend asked directly*"}
    for scenario, series in results.values():
        parts.append(f"\n## {scenario.title}\n\n{_table(scenario, series, titles)}")
    parts.append(_scale(results))
    return "".join(parts)


def _table(scenario: Scenario, series: Mapping[str, Series], titles: Mapping[str, str]) -> str:
    others = [name for name in ("nginx", "haproxy") if name in series]
    heads = ["", "CPU per request", *(f"× {titles[name]}" for name in others), "spread", "requests/s"]
    heads += ["MiB/s"] if scenario.content else []
    heads += ["p99 added ms"] if scenario.paced else []
    heads += ["busy", "disturbed", "p50 ms", "p99 ms", "errors"]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for name, one in series.items():
        direct = name == DIRECT
        cpu = [m.cpu_us for m in one.measurements]
        row = [titles[name], "" if direct else f"{one.middle('cpu_us'):.1f} µs"]
        row += ["" if direct else f"{one.ratio(series[other]):.2f}" for other in others]
        row += ["" if direct else f"{min(cpu):.1f}–{max(cpu):.1f}", f"{one.middle('per_s'):,.0f}"]
        row += [f"{one.middle('per_s') * scenario.content / MIB:,.0f}"] if scenario.content else []
        if scenario.paced:
            row += ["" if direct else f"{one.added_ms(series[DIRECT]):.2f}"]
        row += ["" if direct else f"{one.middle('busy'):.0%}", "" if direct else f"{one.middle('disturbed'):.0%}"]
        row += [f"{one.middle('p50_ms'):.2f}", f"{one.middle('p99_ms'):.2f}", str(one.errors)]
        lines.append(row)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _scale(results: Results) -> str:
    """Say what a thousand times more routes and consumers cost, when both were measured."""
    if not {"few", "many"} <= results.keys():
        return ""
    few, many = results["few"][1].get("gateway"), results["many"][1].get("gateway")
    if not few or not many:
        return ""
    cost = many.middle("cpu_us") / few.middle("cpu_us") - 1
    return f"\n10,000 routes and 100,000 consumers cost {cost:+.1%} CPU per request against 10 routes and 100 consumers.\n"


def _measurement(one: Measurement) -> dict[str, Any]:
    ticks_us = one.cpu_by_ticks_s / max(1, one.load.requests) * 1e6
    return {"cpu_us": one.cpu_us, "cpu_by_ticks_us": ticks_us, "busy": one.busy, "disturbed": one.disturbed, **asdict(one.load)}


def dump(head: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """Return everything that was measured, round by round."""
    return {
        **head,
        "scenarios": {
            name: {
                proxy: [_measurement(one) for one in measured.measurements] for proxy, measured in series.items()
            }
            for name, (_, series) in results.items()
        },
    }
