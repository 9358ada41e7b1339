"""The master and what it does about its children, with real processes and stand-in workers."""

import os
import signal
import socket
import threading
import time

import requests

from tests.server.running import GOOD_PLUGIN, Running, alive, eventually


def test_serves_with_the_workers_it_was_told_to_start(gateway: Running):
    gateway.start(workers=2)
    assert sorted(gateway.workers()) == [0, 1]
    pid, index, revision = gateway.get()
    assert gateway.workers()[index] == pid
    assert revision == gateway.status()["revision"] == 1


def test_stops_with_status_0_and_leaves_nothing_behind(gateway: Running):
    gateway.start()
    children = [*gateway.workers().values(), gateway.agent_pid()]
    assert gateway.stop() == 0
    assert not any(map(alive, children))
    assert not (gateway.state / "gateway.pid").exists()
    assert not (gateway.state / "agent.sock").exists()


def test_replaces_a_killed_worker_at_once_under_the_same_index(gateway: Running):
    gateway.start()
    before = gateway.workers()
    os.kill(before[1], signal.SIGKILL)
    killed = time.monotonic()
    after = eventually(lambda: (now := gateway.workers()) and 1 in now and now[1] != before[1] and now)
    assert time.monotonic() - killed < 5
    assert after[0] == before[0]
    assert "Worker 1 (pid" in gateway.output() and "SIGKILL" in gateway.output()


def test_a_worker_that_dies_at_boot_never_halts_the_master(gateway: Running):
    gateway.broken.write_text("exit")
    gateway.start(workers=1, wait=False)
    eventually(lambda: gateway.output().count("died: exit status 3") >= 3, "three deaths")
    assert not gateway.ended()
    assert gateway.manage("/ready").status_code == 503
    gateway.broken.unlink()
    eventually(gateway.ready, "ready at last")
    assert gateway.get()[1] == 0


def test_a_worker_that_gives_no_sign_of_life_is_replaced(gateway: Running):
    gateway.environment["STANDIN_HEARTBEAT_S"] = "2"
    gateway.start(workers=1)
    before = gateway.workers()
    gateway.broken.write_text("stall")
    eventually(lambda: "WORKER TIMEOUT" in gateway.output(), "the hung worker was noticed")
    gateway.broken.unlink()
    eventually(lambda: gateway.workers().get(0, before[0]) != before[0], "the hung worker was replaced")


def test_replaces_a_killed_agent_while_workers_go_on(gateway: Running):
    gateway.start()
    workers, agent = gateway.workers(), gateway.agent_pid()
    os.kill(agent, signal.SIGKILL)
    assert gateway.get()[0] in workers.values()
    eventually(lambda: gateway.output().count("Agent started") == 2, "a new agent")
    assert gateway.workers() == workers
    eventually(lambda: all(worker["connected"] for worker in gateway.status()["workers"]), "workers found the new agent")
    gateway.write(routes=[])
    eventually(lambda: {worker["revision"] for worker in gateway.status()["workers"]} == {2}, "the new agent hands on changes")


def test_workers_and_agent_end_when_the_master_is_killed(gateway: Running):
    gateway.start()
    children = [*gateway.workers().values(), gateway.agent_pid()]
    gateway.signal(signal.SIGKILL)
    eventually(lambda: not any(map(alive, children)), "orphans ended")


def test_starts_over_the_files_of_a_gateway_that_was_killed(gateway: Running):
    gateway.start()
    gateway.signal(signal.SIGKILL)
    gateway.process.wait()
    assert (gateway.state / "gateway.pid").exists()
    gateway.start()  # at once, while orphans may still be letting go of the sockets
    assert gateway.get()[1] in (0, 1)


def test_a_second_gateway_on_one_state_directory_is_refused(gateway: Running, tmp_path):
    gateway.start()
    second = gateway.run("proxy", "--config", str(gateway.config), "--state", str(gateway.state), "--management", "off")
    assert second.returncode == 1
    assert f"another gateway (pid {gateway.pid}) runs from the state directory {gateway.state}" in second.stderr
    assert gateway.get()


def test_an_address_in_use_is_an_error_that_names_the_listener(gateway: Running):
    with socket.create_server(("127.0.0.1", gateway.port)):
        result = gateway.run("proxy", "--config", str(gateway.config), "--state", str(gateway.state), "--management", "off")
    assert result.returncode == 1
    assert f"listener web: cannot bind 127.0.0.1:{gateway.port}: Address already in use" in result.stderr


def test_the_command_line_overrides_the_first_listener(gateway: Running):
    gateway.start("--listen", f"127.0.0.1:{gateway.second_port}")
    assert gateway.get(port=gateway.second_port)


def test_a_bad_configuration_and_no_good_one_before_prints_every_problem(gateway: Running):
    gateway.write(pools=[], routes=[{"name": "all", "pool": "users"}, {"name": "all", "pool": "nothing"}], streams=7)
    result = gateway.run("proxy", "--config", str(gateway.config), "--state", str(gateway.state), "--management", "off")
    assert result.returncode == 1
    for expected in ("routes[0].pool", "routes[1].pool", "routes[1].name", "streams"):
        assert expected in result.stderr


def test_a_bad_configuration_with_a_good_one_before_serves_and_says_so(gateway: Running):
    gateway.start()
    gateway.stop()
    gateway.write(routes=[{"name": "all", "pool": "nowhere"}])
    gateway.start()
    assert gateway.get()[2] == 1
    assert "is NOT in force. The last good configuration is served" in gateway.output()
    refused = eventually(lambda: gateway.status()["refused"], "the agent reports it too")
    assert [problem["path"] for problem in refused["problems"]] == ["routes[0].pool"]


def test_broken_plugins_that_nobody_needs_are_reported_and_do_no_harm(gateway: Running):
    gateway.install("fragile", "raise RuntimeError('does not load')")
    gateway.start()
    assert gateway.get()
    assert "does not load" in str(gateway.status()["failed_plugins"])
    assert "fragile" in gateway.output()


def test_term_fails_readiness_first_then_finishes_what_runs(gateway: Running):
    gateway.start("--drain-delay", "1")
    answers: list[object] = []
    slow = threading.Thread(target=lambda: answers.append(gateway.get("/slow/3")))
    slow.start()
    eventually(lambda: any(worker["in_flight"] for worker in gateway.status()["workers"]), "the slow exchange runs")
    gateway.signal(signal.SIGTERM)
    eventually(lambda: not gateway.ready(), "readiness failed")
    assert gateway.manage("/ready").json()["reason"] == "the gateway is stopping"
    assert gateway.get()  # the listeners are open for as long as the delay lasts
    slow.join()
    assert answers, "the exchange in flight was answered"
    assert gateway.process.wait(10) == 0


def test_term_kills_what_does_not_finish_in_time(gateway: Running):
    gateway.start("--drain", "1")
    slow = threading.Thread(target=lambda: _ignore_reset(gateway, "/slow/30"))
    slow.start()
    eventually(lambda: any(worker["in_flight"] for worker in gateway.status()["workers"]), "the slow exchange runs")
    told = time.monotonic()
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(15) == 0
    assert time.monotonic() - told < 8
    slow.join()


def test_int_ends_at_once(gateway: Running):
    gateway.start()
    slow = threading.Thread(target=lambda: _ignore_reset(gateway, "/slow/30"))
    slow.start()
    eventually(lambda: any(worker["in_flight"] for worker in gateway.status()["workers"]), "the slow exchange runs")
    told = time.monotonic()
    gateway.signal(signal.SIGINT)
    assert gateway.process.wait(10) == 0
    assert time.monotonic() - told < 4
    slow.join()


def test_usr1_reopens_the_log_in_every_process(gateway: Running, tmp_path):
    log = tmp_path / "gateway.log"
    gateway.start("--log-file", str(log), wait=False)
    eventually(lambda: log.exists() and "Ready: " in log.read_text(), "ready")
    log.rename(tmp_path / "gateway.log.1")
    gateway.signal(signal.SIGUSR1)
    eventually(lambda: log.exists() and log.read_text().count("reopened its log") == 2, "both workers write to the new file")
    assert gateway.agent_pid()


def test_a_worker_that_has_served_enough_is_succeeded_without_a_gap(gateway: Running):
    gateway.start("--max-requests", "40", workers=1)
    first = gateway.get()[0]
    eventually(lambda: gateway.get()[0] != first, "another worker answers, and every request was answered")
    eventually(lambda: f"(pid {first}) has left" in gateway.output(), "the first one went")


def test_workers_are_added_and_taken_away_by_signals(gateway: Running):
    gateway.start(workers=1)
    gateway.signal(signal.SIGTTIN)
    eventually(lambda: sorted(gateway.workers()) == [0, 1])
    gateway.signal(signal.SIGTTOU)
    eventually(lambda: sorted(gateway.workers()) == [0])


def test_systemd_is_told_when_the_gateway_is_ready_reloads_and_stops(gateway: Running, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "n"))
        notified.settimeout(20)
        gateway.environment["NOTIFY_SOCKET"] = str(tmp_path / "n")
        gateway.start()
        assert notified.recv(4096).startswith(b"READY=1\nSTATUS=2 of 2 workers ready")
        assert gateway.reload().returncode == 0
        assert notified.recv(4096).startswith(b"RELOADING=1")
        assert notified.recv(4096).startswith(b"READY=1")
        gateway.stop()
        assert notified.recv(4096).startswith(b"STOPPING=1")


def test_takes_the_sockets_that_systemd_passes(gateway: Running):
    with socket.create_server(("127.0.0.1", gateway.port)) as sock:

        def become_fd_3() -> None:
            os.dup2(sock.fileno(), 3)
            os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web")

        script = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        command = gateway.command
        gateway.command = lambda *arguments: [command()[0], "-c", script, *command(*arguments)[1:]]
        gateway.environment.update(LISTEN_FDS="1", LISTEN_FDNAMES="web")
        gateway.start(preexec_fn=become_fd_3, pass_fds=(3,))
        assert gateway.get()


def test_installs_nothing_of_plugins_into_the_master(gateway: Running):
    note = "\nimport pathlib, os\nwith open(os.environ['SEEN'], 'a') as file: print(os.getpid(), file=file)\n"
    gateway.install("good", GOOD_PLUGIN.format(name="good") + note)
    gateway.environment["SEEN"] = str(gateway.directory / "seen")
    gateway.start()
    assert str(gateway.pid) not in (gateway.directory / "seen").read_text().split()


def _ignore_reset(gateway: Running, path: str) -> None:
    try:
        gateway.get(path)
    except requests.ConnectionError:
        pass
