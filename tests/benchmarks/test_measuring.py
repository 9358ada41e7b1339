"""The instruments of the benchmarks: what they count, and what they make of it."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks import machine, paced, report, sink
from benchmarks.load import Load
from benchmarks.proxies import PROXIES
from benchmarks.proxies.base import Setup
from benchmarks.proxies.gateway import configuration
from benchmarks.rounds import DIRECT, Measurement, Series
from benchmarks.scenarios import SCENARIOS
from gateway.control.compile import compile_config
from gateway.hooks.manager import load_plugins

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def measurement(cpu_us: float, requests: int = 1000) -> Measurement:
    load = Load(requests, duration_s=1.0, bytes=0, errors=0, p50_ms=1.0, p99_ms=2.0, max_ms=3.0)
    return Measurement(load, cpu_s=cpu_us * requests / 1e6, cpu_by_ticks_s=0.0, waited_s=0.1)


def test_ratios_are_taken_within_a_round():
    # The machine slowed down after the first round: medians of each would say 1.5, both rounds say 2.
    mine, other = Series([measurement(20), measurement(60)]), Series([measurement(10), measurement(30)])
    assert mine.ratio(other) == pytest.approx(2)


def test_the_tables_have_a_row_for_every_proxy_and_the_price_of_many_routes():
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    plain = {DIRECT: Series([measurement(5)]), "gateway": Series([measurement(30)]), "nginx": Series([measurement(20)])}
    results = {
        "plain": (scenarios["plain"], plain),
        "few": (scenarios["few"], {"gateway": Series([measurement(40)])}),
        "many": (scenarios["many"], {"gateway": Series([measurement(42)])}),
    }
    head = {"command": "make bench", "machine": "M", "wrk": "4", "rounds": 1, "seconds": 1.0, "stolen": 0.0, "versions": "V"}
    text = report.markdown(head, results, PROXIES)
    assert "| this gateway | 30.0 µs | 1.50 |" in text
    assert "cost +5.0% CPU per request" in text
    assert json.dumps(report.dump(head, results))


@pytest.mark.parametrize("scenario", SCENARIOS[:-1], ids=lambda scenario: scenario.name)
def test_every_configuration_of_the_gateway_is_in_order(tmp_path, scenario):
    setup = Setup(tmp_path, 8000, "127.0.0.1:9000", 0, scenario.chain, scenario.routes, scenario.consumers)
    compiled = compile_config(configuration(setup), load_plugins())
    assert len(compiled.snapshot.routes) == scenario.routes


def test_cpu_time_is_that_of_the_whole_family(tmp_path):
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    script = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {burn!r}]); print('done', flush=True); time.sleep(60)"
    process = machine.Process([sys.executable, "-c", script], machine.cores()[0], tmp_path)
    try:
        while "done" not in process.log.read_text():
            assert process.popen.poll() is None
        used = process.usage()
        assert used.ticks >= 250_000_000  # the child has ended: only its parent's account still knows
    finally:
        process.stop()
    assert process.popen.returncode is not None


def test_the_sink_answers_after_the_last_octet():
    here, there = socket.socketpair()
    with here, there:
        client = sink.Client(there)
        here.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12")
        assert client.readable()
        here.setblocking(False)
        with pytest.raises(BlockingIOError):
            here.recv(100)
        here.sendall(b"345")
        assert client.readable() is True
        assert here.recv(1000) == sink.GOOD


def serve(listener: socket.socket, *connections: list[bytes]) -> threading.Thread:
    """Answer each connection's requests with these octets, then close it."""

    def run() -> None:
        for answers in connections:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    if not connection.recv(65536):
                        break
                    connection.sendall(answer)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("connections", "again", "errors"),
    [
        ([[GOOD, b""], [GOOD] * 50], 1, {}),
        ([[GOOD, GOOD[:-1]], [GOOD] * 50], 0, {"closed within an answer": 1}),
        ([[b""], [GOOD] * 50], 0, {"closed without an answer": 1}),
        ([[GOOD.replace(b"200 OK", b"503 No", 1), *[GOOD] * 50]], 0, {"HTTP/1.1 503 No": 1}),
    ],
)
def test_the_pacer_sends_again_only_what_a_kept_connection_swallowed(connections, again, errors):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = serve(listener, *connections)
        pacer = paced.Pacer(listener.getsockname()[1], b"GET / HTTP/1.1\r\n\r\n", rate=100, connections=1)
        pacer.run(0.2)
        for client in pacer.clients.values():
            client.socket.close()
        pacer.epoll.close()
        thread.join(10)
    assert (pacer.again, dict(+pacer.errors)) == (again, errors)


def test_help_names_every_scenario():
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert all(scenario.name in done.stdout for scenario in SCENARIOS)
