"""``make run``, as a newcomer meets it: sample backends and a gateway whose every hook has something to do."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from json import loads
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.testing import free_ports

ROOT = Path(__file__).parent.parent


class Sample(NamedTuple):
    url: str
    management: str
    printed: str
    process: "subprocess.Popen[str]"


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Iterator[Sample]:
    listen, management, first, second = free_ports(4)
    command = [
        sys.executable, str(ROOT / "examples" / "run.py"), "--listen", f"127.0.0.1:{listen}", "--management", f"127.0.0.1:{management}",
        "--backends", f"{first},{second}", "--state", str(tmp_path_factory.mktemp("sample") / "state"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    printed = ""
    while "Ctrl-C" not in printed:
        line = process.stdout.readline()
        assert line, f"it ended: {printed}"
        printed += line
    yield Sample(f"http://127.0.0.1:{listen}", f"http://127.0.0.1:{management}", printed, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def get(url: str, **headers: str):
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers, loads(refused.read())


def test_prints_what_to_try_at_the_addresses_in_use(sample):
    assert f"curl -i {sample.url}/hello" in sample.printed


def test_both_backends_answer_behind_the_gateway(sample):
    answers = [get(f"{sample.url}/hello") for _ in range(30)]
    assert {status for status, _, _ in answers} == {200}
    assert {document["backend"] for _, _, document in answers} == {"backend 1", "backend 2"}
    assert {headers["X-Served-By"] for _, headers, _ in answers} == {"gateway"}


def test_users_are_for_consumers_with_a_key(sample):
    assert get(f"{sample.url}/users/1")[0] == 401
    assert get(f"{sample.url}/users/1", X_API_Key="wrong-secret")[0] == 401
    status, _, document = get(f"{sample.url}/users/1", X_API_Key="alice-secret")
    assert (status, document["name"]) == (200, "Ada Lovelace")


def test_the_sixth_request_of_a_consumer_is_too_many(sample):
    statuses = [get(f"{sample.url}/users/2", X_API_Key="bob-secret")[0] for _ in range(6)]
    assert statuses == [200] * 5 + [429]


def test_the_dashboard_is_made_of_two_backend_requests(sample):
    status, _, document = get(f"{sample.url}/dashboard/1")
    assert status == 200
    assert "Ada Lovelace" in str(document)
    assert "punch cards" in str(document)


def test_the_management_address_knows_the_requests(sample):
    get(f"{sample.url}/hello")
    with urllib.request.urlopen(f"{sample.management}/metrics", timeout=10) as answer:
        assert b'route="hello"' in answer.read()


def test_says_which_addresses_are_in_use_instead_of_starting(sample):
    address = sample.url.removeprefix("http://")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "run.py"), "--listen", address], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert f"In use: {address}" in done.stdout
    assert "--listen" in done.stdout


def test_ctrl_c_ends_gateway_and_backends(sample):
    family = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _parent(int(pid)) == sample.process.pid]
    assert len(family) == 2
    sample.process.send_signal(signal.SIGINT)
    assert sample.process.wait(60) == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in family)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return 0
