import json
import os

import pytest

from tests.commands.support import gateway

TEN_MISTAKES = """\
version: 1
listeners:
  - {name: web, address: "127.0.0.1:8000"}
  - {name: web2, address: "127.0.0.1:8000"}
pools:
  - name: users
    balancer: round_robbin
    members:
      - {address: "127.0.0.1:9001", wieght: 3}
  - name: orders
    timeouts: {connect_s: soon}
    members: [{address: "127.0.0.1"}]
routes:
  - name: users
    match: {paths: [users]}
    pool: usrs
  - name: users
    match: {paths: [/orders], clients: [10.0.0.0/40]}
    pool: orders
    policies:
      - {plugin: no_such_plugin}
"""
GOOD = """\
version: 1
listeners: [{name: web, address: "127.0.0.1:8000"}]
pools: [{name: users, members: [{address: "127.0.0.1:9001"}]}]
routes:
  - {name: users, match: {paths: [/users]}, pool: users}
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="gateway.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_prints_all_of_ten_mistakes_with_their_places(file):
    path = file(TEN_MISTAKES)
    done = gateway("check", path)
    assert done.status == 1 and not done.errors
    assert done.lines == [
        f"{path}:4:18: error: listeners[1].address: 127.0.0.1:8000 is taken by listeners[0] already",
        f"{path}:7:5: error: pools[0].balancer: balancer 'round_robbin' is not installed; did you mean 'round_robin'?",
        f"{path}:9:37: error: pools[0].members[0].wieght: unknown key; did you mean 'weight'?",
        f"{path}:11:16: error: pools[1].timeouts.connect_s: should be a number, not text",
        f"{path}:12:16: error: pools[1].members[0].address: an address is host:port, [ipv6]:port or unix:/path",
        f"{path}:15:21: error: routes[0].match.paths[0]: a path begins with /, =/ or ~",
        f"{path}:16:5: error: routes[0].pool: there is no pool 'usrs'; did you mean 'users'?",
        f"{path}:17:5: error: routes[1].name: 'users' is the name of routes[0] already",
        f"{path}:18:41: error: routes[1].match.clients[0]: '10.0.0.0/40' does not appear to be an IPv4 or IPv6 network",
        f"{path}:21:10: error: routes[1].policies[0].plugin: plugin 'no_such_plugin' is not installed",
        f"{path}: 10 errors",
    ]


def test_says_that_a_file_is_in_order_and_what_is_in_it(file):
    path = file(GOOD)
    done = gateway("check", path)
    assert (done.status, done.output) == (0, f"{path} is in order: 1 listener, 1 pool, 1 route\n")


def test_warnings_fail_only_when_asked_to(file):
    path = file(GOOD + "  - {name: twin, match: {paths: [/users]}, pool: users}\n")
    done = gateway("check", path)
    assert done.status == 0
    assert done.lines[0] == f"{path}:6:18: warning: routes[1].match: is the same as that of routes[0]: only one of the two is ever reached"
    assert gateway("check", "--strict", path).status == 1


def test_tells_programs_the_same(file):
    path = file(TEN_MISTAKES)
    done = gateway("check", "--json", path)
    report = json.loads(done.output)
    assert done.status == 1 and report["ok"] is False and len(report["errors"]) == 10 and report["warnings"] == []
    assert report["errors"][2] == {
        "path": "pools[0].members[0].wieght",
        "message": "unknown key; did you mean 'weight'?",
        "file": str(path),
        "line": 9,
        "column": 37,
    }
    assert json.loads(gateway("check", "--json", file(GOOD)).output) == {"ok": True, "errors": [], "warnings": []}


def test_reads_standard_input():
    done = gateway("check", "-", text=GOOD)
    assert (done.status, done.output) == (0, "- is in order: 1 listener, 1 pool, 1 route\n")


@pytest.mark.parametrize(("text", "line"), [("routes: [", "2:1: error: is not YAML"), ("a: 1\na: 2", "2:1: error: a: is there twice")])
def test_says_where_a_text_stops_being_yaml(file, text, line):
    path = file(text)
    done = gateway("check", path)
    assert done.status == 1 and done.lines[0].startswith(f"{path}:{line}")


def test_says_so_when_there_is_no_such_file(tmp_path):
    done = gateway("check", tmp_path / "none.yaml")
    assert (done.status, done.lines[0]) == (1, f"{tmp_path}/none.yaml: error: cannot be read: No such file or directory")


@pytest.fixture
def broken_plugin(tmp_path):
    """A distribution whose plugin cannot be imported, as an environment that finds it."""
    information = tmp_path / "site" / "gateway_maths-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-maths\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[gateway.plugins]\nmaths = gateway_maths:Maths\n")
    (tmp_path / "site" / "gateway_maths.py").write_text("import no_such_numbers\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}


def test_says_which_plugin_is_broken_and_why(file, broken_plugin):
    why = "gateway-maths 1.0: ModuleNotFoundError: No module named 'no_such_numbers'"
    path = file(GOOD)
    done = gateway("check", path, env=broken_plugin)
    assert (done.status, done.errors) == (0, "")
    assert done.lines[0] == f"warning: plugin 'maths' is installed but not usable: {why}"
    used = file(GOOD + "policies: [{plugin: maths}]\n")
    done = gateway("check", used, env=broken_plugin)
    assert (done.status, done.errors) == (1, "")
    assert done.lines[0] == f"{used}:6:13: error: policies[0].plugin: plugin 'maths' is broken: {why}"


def test_needs_neither_gevent_nor_gunicorn(file):
    imported = gateway("check", file(GOOD)).imported
    assert "gateway.control.compile" in imported
    assert not {"gevent", "gunicorn", "requests"} & imported
