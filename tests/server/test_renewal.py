"""Reloads and upgrades, with real processes and stand-in workers."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
import requests

from tests.server.running import GOOD_PLUGIN, Running, alive, eventually


@contextmanager
def load(gateway: Running, at_least: int = 30) -> Iterator[list[str]]:
    """Send requests all the time; yields what went wrong. Ends when there were enough."""
    failures: list[str] = []
    answered = []
    ending = threading.Event()

    def send() -> None:
        while not ending.is_set() or len(answered) < at_least:
            try:
                answered.append(gateway.get("/slow/0.02"))
            except (requests.RequestException, AssertionError) as error:
                failures.append(repr(error))
                return

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def outcome(gateway: Running) -> dict:
    return orjson.loads((gateway.state / "reload.json").read_bytes())


def test_a_reload_replaces_every_worker_and_loses_nothing(gateway: Running):
    gateway.start()
    before, agent = gateway.workers(), gateway.agent_pid()
    with load(gateway) as failures:
        result = gateway.reload()
        assert result.returncode == 0, result.stderr
        assert "new workers serve" in result.stdout
        after = gateway.workers()
        assert sorted(after) == [0, 1]
        assert not set(after.values()) & set(before.values())
        eventually(lambda: not any(map(alive, [*before.values(), agent])), "old workers and the old agent have gone")
    assert failures == []


def test_several_reloads_in_a_row_lose_nothing(gateway: Running):
    gateway.start()
    with load(gateway) as failures:
        for _ in range(3):
            assert gateway.reload().returncode == 0
    assert failures == []
    assert outcome(gateway)["number"] == 3


def test_old_workers_leave_only_when_new_ones_are_ready(gateway: Running):
    gateway.start()
    before = gateway.workers()
    gateway.broken.write_text("hang")
    gateway.signal(signal.SIGHUP)
    eventually(lambda: len(gateway.status()["workers"]) == 4, "new workers beside the old ones")
    assert gateway.workers() == before
    assert gateway.get()[0] in before.values()
    gateway.broken.unlink()
    eventually(lambda: gateway.workers() and not set(gateway.workers().values()) & set(before.values()), "succession")


def test_a_reload_is_taken_back_when_new_workers_are_never_ready(gateway: Running):
    gateway.start("--boot-timeout", "6")
    before = gateway.workers()
    gateway.broken.write_text("hang")
    result = gateway.reload()
    assert result.returncode == 1
    assert "new workers were not ready after 6 s" in result.stderr
    gateway.broken.unlink()
    eventually(lambda: gateway.workers() == before, "the old workers go on")
    assert gateway.reload().returncode == 0


def test_a_reload_is_taken_back_when_new_workers_die_at_boot(gateway: Running):
    gateway.start()
    before = gateway.workers()
    gateway.broken.write_text("exit")
    result = gateway.reload()
    assert result.returncode == 1
    assert "new workers die as soon as they start" in result.stderr
    assert gateway.workers() == before
    assert gateway.status()["reload"]["state"] == "failed"


def test_a_bad_configuration_stops_a_reload_before_anything_changes(gateway: Running):
    gateway.start()
    before, agent = gateway.workers(), gateway.agent_pid()
    gateway.write(routes=[{"name": "all", "pool": "nowhere"}, {"name": "more", "pool": "neither"}])
    result = gateway.reload()
    assert result.returncode == 1
    assert "routes[0].pool" in result.stderr and "routes[1].pool" in result.stderr
    assert gateway.workers() == before
    assert gateway.agent_pid() == agent
    assert gateway.status()["reload"]["problems"][0]["path"] == "routes[0].pool"
    assert "failed, workers go on as before" in gateway.output()


def test_a_plugin_that_broke_stops_a_reload_and_is_named(gateway: Running):
    gateway.install("watch", GOOD_PLUGIN.format(name="watch"))
    gateway.write(policies=[{"plugin": "watch"}])
    gateway.start()
    before = gateway.workers()
    gateway.install("watch", "import not_there_any_more")
    result = gateway.reload()
    assert result.returncode == 1
    assert "policies[0]" in result.stderr and "not_there_any_more" in result.stderr
    assert gateway.workers() == before
    assert gateway.get()


def test_a_plugin_installed_meanwhile_is_there_after_a_reload(gateway: Running):
    gateway.start()
    gateway.install("late", GOOD_PLUGIN.format(name="late"))
    gateway.write(policies=[{"plugin": "late"}])
    eventually(lambda: gateway.status()["refused"], "the agent does not know the plugin yet")
    assert gateway.reload().returncode == 0
    status = eventually(lambda: (now := gateway.status())["digest"] and now, "the new agent is there")
    assert status["refused"] is None
    assert {worker["revision"] for worker in status["workers"]} == {2}


def test_listeners_are_bound_and_closed_as_the_configuration_says(gateway: Running):
    gateway.start()
    first, second = gateway.configuration()["listeners"][0], {"name": "more", "address": f"127.0.0.1:{gateway.second_port}"}
    gateway.write(listeners=[first, second])
    eventually(lambda: _answers(gateway, gateway.second_port), "the agent noticed and the master bound it")
    assert _answers(gateway, gateway.port)
    gateway.write(listeners=[second])
    eventually(lambda: not _answers(gateway, gateway.port), "the first one is closed")
    assert _answers(gateway, gateway.second_port)


def test_a_listener_that_cannot_be_bound_stops_a_reload(gateway: Running):
    gateway.start()
    first = gateway.configuration()["listeners"][0]
    gateway.write(listeners=[first, {"name": "more", "address": f"127.0.0.1:{gateway.management}"}])
    result = gateway.reload()
    assert result.returncode == 1
    assert "listener more: cannot bind" in result.stderr
    assert gateway.get()


def test_a_reload_without_a_gateway_says_so(gateway: Running):
    result = gateway.reload()
    assert result.returncode == 1
    assert "no gateway runs from the state directory" in result.stderr
    gateway.state.mkdir()
    (gateway.state / "gateway.pid").write_text(str(os.getpid()))  # stale: whoever has this id now is no gateway
    assert "no gateway runs" in gateway.reload().stderr


def test_an_upgrade_replaces_the_program_and_loses_nothing(gateway: Running):
    gateway.start()
    before, agent = gateway.workers(), gateway.agent_pid()
    with load(gateway) as failures:
        result = gateway.reload("--upgrade")
        assert result.returncode == 0, result.stderr + gateway.output()
        assert result.stdout.startswith("upgrade 1 is done")
        eventually(lambda: not any(map(alive, [*before.values(), agent])), "old workers and the old agent have gone")
    assert failures == []
    assert gateway.output().count("Gateway master started") == 2
    assert not gateway.ended()
    assert sorted(gateway.workers()) == [0, 1]
    assert gateway.reload().returncode == 0
    assert gateway.stop() == 0


def test_an_upgrade_to_a_program_that_does_not_load_does_not_happen(gateway: Running):
    gateway.start()
    before = gateway.workers()
    (gateway.plugins / "gunicorn").mkdir(parents=True)
    (gateway.plugins / "gunicorn" / "__init__.py").write_text("raise ImportError('half installed')")
    result = gateway.reload("--upgrade")
    assert result.returncode == 1
    assert gateway.workers() == before
    assert "half installed" in gateway.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly_in_the_middle_of_a_reload(gateway: Running, number: int):
    gateway.start()
    gateway.broken.write_text("hang")
    gateway.signal(signal.SIGHUP)
    eventually(lambda: len(gateway.status()["workers"]) == 4, "new workers beside the old ones")
    workers = [worker["pid"] for worker in gateway.status()["workers"]]
    gateway.broken.unlink()
    gateway.signal(number)
    assert gateway.process.wait(15) == 0
    assert not any(map(alive, workers))
    assert outcome(gateway)["reason"] in ("the gateway was stopped", "")


def _answers(gateway: Running, port: int) -> bool:
    try:
        return bool(gateway.get(port=port))
    except requests.ConnectionError:
        return False
