"""What a running gateway with several workers says of real traffic."""

import json
import os
import signal
import time
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.observe.trace_header import sign

KEY = "an operator's key"
OBSERVE = {
    "access_log": {"fields": ["id", "path", "status", "route", "member", "revision", "header.user-agent"]},
    "tracing": {"secret": "$env:TRACE_KEY"},
    "metrics": {"time_plugins_one_in": 0},
}


@pytest.fixture
def gateway(run_gateway, tmp_path):
    """Two workers, one route, a header plugin, everything recorded."""
    policies = [{"plugin": "headers", "config": {"request": {"set": {"X-Added": "yes"}}}}]
    arguments = ("--access-log", str(tmp_path / "access.log"))
    gateway = run_gateway(workers=2, observe=OBSERVE, policies=policies, env={"TRACE_KEY": KEY}, arguments=arguments)
    gateway.wait_for(lambda status: [worker["connected"] for worker in status["workers"]] == [True, True])  # traces go to the agent
    return gateway


def eventually(condition: Callable[[], object]) -> object:
    """Return what the condition gives once it is true: log lines and traces come a moment after the response."""
    until = time.monotonic() + 10
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def samples(gateway) -> dict[tuple[str, ...], float]:
    text = gateway.manage("/metrics").content.decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[(sample.name, *sample.labels.values())] = sample.value
    return found


def test_every_request_is_counted_and_logged_once_whichever_worker_served_it(gateway, tmp_path, echo):
    ids = {gateway.get(f"/{number}", {"User-Agent": 'a "test"'}).headers.get("X-Request-ID") for number in range(40)}
    assert gateway.get("/missing", {"Host": "api.example.com"}).status == 200
    path = tmp_path / "access.log"
    eventually(lambda: path.exists() and path.read_text().count("\n") == 41)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["id"] for line in lines[:41] if line["path"] != "/missing"} == ids
    assert all(line["status"] == 200 and line["route"] == "all" and line["member"] == echo.address for line in lines)
    assert all(line["revision"] >= 1 for line in lines)
    found = samples(gateway)
    assert found["gateway_requests_total", "web", "all", "GET", "200"] == 41
    assert found["gateway_request_duration_seconds_count", "all"] == 41
    assert found["gateway_upstream_duration_seconds_count", "all"] == 41
    assert found["gateway_member_requests_total", "echo", echo.address] == 41
    split = found["gateway_processing_duration_seconds_sum", "all"] + found["gateway_upstream_duration_seconds_sum", "all"]
    assert 0 < split <= found["gateway_request_duration_seconds_sum", "all"]


def test_backends_get_the_request_id_and_the_trace_context(gateway, echo):
    reply = gateway.get("/", {"traceparent": f"00-{'4b' * 16}-{'f0' * 8}-01", "tracestate": "a=1"})
    received = echo.requests[-1].headers
    assert received.get("X-Request-ID") == reply.headers.get("X-Request-ID")
    assert received.get("traceparent").startswith(f"00-{'4b' * 16}-")
    assert received.get("tracestate") == "a=1"


def test_an_operator_sees_one_exchange_hook_by_hook(gateway, echo):
    header = sign(KEY, time.time() + 60, "GET", "/explain/me")
    reply = gateway.get("/explain/me?token=s3cret", {"X-Gateway-Trace": header, "Authorization": "Bearer s3cret"})
    answer = eventually(lambda: (found := gateway.manage(f"/traces/{reply.headers.get('X-Request-ID')}")).status == 200 and found)
    record = answer.json()  # type: ignore[attr-defined]
    (step,) = [step for step in record["hooks"] if step["hook"] == "transform_request"]
    assert (step["plugin"], step["verdict"]) == ("headers", None)
    assert step["changes"]["headers"]["added"] == [["X-Added", "yes"]]
    assert [(attempt["address"], attempt["outcome"]) for attempt in record["attempts"]] == [(echo.address, "200")]
    assert (record["route"], record["member"], record["status"], record["why"]) == ("all", echo.address, 200, "asked")
    assert record["candidates"][0]["address"] == echo.address
    assert b"s3cret" not in answer.content  # type: ignore[attr-defined]
    assert "X-Gateway-Trace" not in echo.requests[-1].headers


def test_nothing_is_traced_without_the_key(gateway):
    for value in ("1", sign("guess", time.time() + 60), sign(KEY, time.time() - 1)):
        gateway.get("/", {"X-Gateway-Trace": value})
    assert gateway.manage("/traces").json() == []


def test_counters_never_go_back_when_a_worker_is_killed(gateway):
    for _ in range(20):
        gateway.get("/")
    victims = [worker["pid"] for worker in gateway.status()["workers"]]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
        gateway.wait_for(lambda status, pid=pid: sum(w["ready"] and w["pid"] != pid for w in status["workers"]) == 2)
    assert samples(gateway)["gateway_requests_total", "web", "all", "GET", "200"] == 20
    gateway.get("/")
    assert samples(gateway)["gateway_requests_total", "web", "all", "GET", "200"] == 21


def test_a_rotation_loses_no_line(gateway, tmp_path):
    path = tmp_path / "access.log"
    gateway.get("/before")
    eventually(path.exists)
    path.rename(tmp_path / "rotated")
    os.kill(gateway.process.pid, signal.SIGUSR1)
    seen = 0
    while not path.exists() and seen < 200:  # until the workers have opened the new file
        gateway.get(f"/{seen}")
        seen += 1
    gateway.get("/after")
    eventually(lambda: "/after" in path.read_text())
    logged = [json.loads(line)["path"] for name in ("rotated", "access.log") for line in (tmp_path / name).read_text().splitlines()]
    assert sorted(logged) == sorted(["/before", *[f"/{number}" for number in range(seen)], "/after"])


def test_new_settings_act_on_running_workers(gateway, tmp_path):
    other = tmp_path / "other.log"
    gateway.change(observe={**OBSERVE, "access_log": {"path": str(other), "fields": ["path"]}})
    gateway.get("/changed")
    eventually(lambda: other.exists() and other.read_text())
    assert other.read_text() == '{"path":"/changed"}\n'
