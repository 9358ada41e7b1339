"""Policies as clients see them: scopes, conditions, shadow mode and broken plugins in a running gateway."""

import os

import pytest

KEY = "alice-key-0123456789"


def mark(word, name="mark", **fields):
    return {"plugin": "headers", "name": name, "config": {"request": {"add": {"X-Marks": word}}}, **fields}


@pytest.fixture
def broken_plugin(tmp_path):
    """Environment in which one plugin cannot be imported and another not started."""
    (tmp_path / "acme_broken.py").write_text("import a_database_that_is_not_here")
    (tmp_path / "acme_tired.py").write_text(
        "from gateway.api import Plugin, hookimpl\n"
        "class Tired(Plugin):\n"
        "    'Be tired.'\n"
        "    name = 'tired'\n"
        "    @hookimpl\n"
        "    def start(self, worker): raise OSError('too tired')\n"
        "    @hookimpl\n"
        "    def limit(self, exchange): pass\n"
    )
    for distribution, entry in (("acme_broken", "broken = acme_broken:Broken"), ("acme_tired", "tired = acme_tired:Tired")):
        folder = tmp_path / f"{distribution}-2.1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution.replace('_', '-')}\nVersion: 2.1\n")
        (folder / "entry_points.txt").write_text(f"[gateway.plugins]\n{entry}\n")
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}


def test_policies_of_every_scope_act_in_order_and_narrower_ones_replace_wider_ones(run_gateway, echo):
    gateway = run_gateway(
        policies=[mark("gateway"), mark("gateway", "tail")],
        apis=[{"name": "shop", "policies": [mark("api")]}],
        routes=[
            {"name": "plain", "match": {"paths": ["/plain"]}},
            {
                "name": "shop",
                "api": "shop",
                "match": {"paths": ["/shop"]},
                "policies": [mark("route", "own"), mark("off", "tail", enabled=False)],
            },
            {"name": "mine", "match": {"paths": ["/mine"]}, "policies": [{"plugin": "key_auth"}]},
            {"name": "when", "match": {"paths": ["/when"]}, "policies": [mark("posted", "own", when={"methods": ["POST"]})]},
        ],
        consumers=[
            {"name": "alice", "policies": [mark("alice", "tail")], "credentials": [{"plugin": "key_auth", "config": {"key": KEY}}]},
        ],
    )

    def marks(path, method="GET"):
        assert gateway.request(method, path, None, {"X-API-Key": KEY}).status == 200
        return echo.last.headers.get_all("X-Marks")

    assert marks("/plain") == ["gateway", "gateway"]
    assert marks("/shop") == ["api", "route"]
    assert marks("/mine") == ["gateway", "alice"]
    assert marks("/when") == ["gateway", "gateway"]
    assert marks("/when", "POST") == ["gateway", "gateway", "posted"]


def test_in_shadow_mode_nothing_is_refused(run_gateway, echo):
    limit = {"limits": [{"requests": 1, "per_s": 3600}], "by": "ip"}
    gateway = run_gateway(
        policies=[{"plugin": "key_auth", "enforce": False}, {"plugin": "rate_limit", "enforce": False, "config": limit}],
    )
    assert [gateway.get("/").status for _ in range(3)] == [200] * 3
    assert gateway.get("/", {"X-API-Key": "wrong-key-0000"}).status == 200
    assert "RateLimit" not in gateway.get("/").headers
    counted = gateway.manage("/metrics").content.decode()
    assert 'gateway_shadow_refusals_total{plugin="key_auth",policy="gateway/key_auth"} 5' in counted
    assert 'gateway_shadow_refusals_total{plugin="rate_limit",policy="gateway/rate_limit"} 4' in counted


def test_a_broken_plugin_is_named_and_costs_nothing_but_its_own_policies(run_gateway, broken_plugin):
    gateway = run_gateway(
        env=broken_plugin,
        routes=[
            {"name": "fine", "match": {"paths": ["/fine"]}, "policies": [mark("fine")]},
            {"name": "tired", "match": {"paths": ["/tired"]}, "policies": [{"plugin": "tired"}]},
        ],
    )
    assert gateway.get("/fine").status == 200
    refusal = gateway.get("/tired")
    assert (refusal.status, refusal.json()["code"]) == (503, "policy_unavailable")
    assert "tired" not in refusal.content.decode().replace("/tired", "")  # why is for the log
    status = gateway.wait_for(lambda status: status["failed_plugins"], "to say which plugin is broken")
    assert "acme-broken 2.1: ModuleNotFoundError: No module named 'a_database_that_is_not_here'" in str(status["failed_plugins"])
    assert "policy route/tired/tired: plugin tired cannot be used: OSError: too tired" in gateway.log
