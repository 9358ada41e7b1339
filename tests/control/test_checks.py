import pytest

from tests.control.support import GOOD, good, pool, problems, route, warnings


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        (good(version=2), "version", "should be 1, the only version there is, not 2"),
        ({key: value for key, value in GOOD.items() if key != "version"}, "version", "is required: write `version: 1`"),
        (good(polices=[]), "polices", "unknown key; did you mean 'policies'?"),
        (good(pools={}), "pools", "should be a list"),
        (route(pool="usres"), "routes[0].pool", "there is no pool 'usres'; did you mean 'users'?"),
        (route(api="shpo"), "routes[0].api", "there is no API 'shpo'; did you mean 'shop'?"),
        (route(pool=None), "routes[0].pool", "is required: a route needs a pool, or compose"),
        (route(compose={"parts": [{"name": "a", "pool": "users"}]}), "routes[0].compose", "a route has either a pool or compose, not both"),
        (
            route(pool=None, compose={"parts": [{"name": "a", "pool": "users"}, {"name": "a", "pool": "nope"}]}),
            "routes[0].compose.parts[1].pool",
            "there is no pool 'nope'",
        ),
        (route(versions=["v1"]), "routes[0].versions", "needs an API that has versions"),
        (route(api="shop", versions=["v3"]), "routes[0].versions[0]", "API 'shop' has no version 'v3'"),
        (route(match={"paths": ["users"]}), "routes[0].match.paths[0]", "a path begins with /, =/ or ~"),
        (route(match={"hosts": ["a b"]}), "routes[0].match.hosts[0]", "a host is a name such as"),
        (route(match={"clients": ["10.0.0.0/33"]}), "routes[0].match.clients[0]", "does not appear to be an IPv4 or IPv6 network"),
        (route(match={"headers": {"X-A.b": "~("}}), 'routes[0].match.headers["X-A.b"]', "not a regular expression"),
        (route(rewrite_path="/u/{nmae}"), "routes[0].rewrite_path", "{nmae} is not a capture of every path of this route"),
        (route(rewrite_path="/u/{rest"), "routes[0].rewrite_path", "has a brace that is no part of a {name}"),
        (route(rewrite_path="/u", strip_path=True), "routes[0].rewrite_path", "excludes strip_path"),
        (route(host="http://x"), "routes[0].host", "should be preserve, backend or a host name"),
        (route(policies=[{"plugin": "raets"}]), "routes[0].policies[0].plugin", "plugin 'raets' is not installed; did you mean 'rates'?"),
        (route(policies=[{"plugin": "key"}, {"plugin": "key"}]), "routes[0].policies[1]", "is called 'key' like routes[0].policies[0]"),
        (
            route(policies=[{"plugin": "rates", "config": {"limits": [{"requests": 1, "per_s": 0}]}}]),
            "routes[0].policies[0].config.limits[0].per_s",
            "should be more than 0, not 0",
        ),
        (route(policies=[{"plugin": "key", "when": {"paths": ["x"]}}]), "routes[0].policies[0].when.paths[0]", "a path begins with"),
        (route(policies=[{"plugin": "key", "seen": "x"}]), "routes[0].policies[0].seen", "unknown key"),
        (
            route(policies=[{"plugin": "odd", "config": {"word": "boom"}}]),
            "routes[0].policies[0].config",
            "plugin 'odd' failed while it looked at",
        ),
        (pool(balancer="round_robbin"), "pools[0].balancer", "balancer 'round_robbin' is not installed; did you mean 'round_robin'?"),
        (pool(balancer={"plugin": "x"}), "pools[0].balancer.plugin", "balancer 'x' is not installed"),
        (pool(balancer={"plugin": "round_robin", "config": {"x": 1}}), "pools[0].balancer.config.x", "unknown key"),
        (pool(members=[{"address": "a:1"}, {"address": "a:1"}]), "pools[0].members[1].address", "is the address of members[0] already"),
        (good(pools=GOOD["pools"] * 2), "pools[1].name", "'users' is the name of pools[0] already"),
        (
            good(listeners=[*GOOD["listeners"], {"name": "x", "address": "0.0.0.0:8000"}]),
            "listeners[1].address",
            "is taken by listeners[0] already",
        ),
        (
            good(listeners=[{"name": "x", "address": "a:1", "proxy_protocol": ["x"]}]),
            "listeners[0].proxy_protocol[0]",
            "does not appear to be",
        ),
        (
            good(consumers=[{"name": "a", "credentials": [{"plugin": "rates"}]}]),
            "consumers[0].credentials[0].plugin",
            "plugin 'rates' has no credentials",
        ),
        (
            good(consumers=[{"name": "a", "credentials": [{"plugin": "key", "config": {"key": "unusable"}}]}]),
            "consumers[0].credentials[0].config",
            "plugin 'key' cannot use this credential (LookupError)",
        ),
        (
            good(streams=[{"name": "s", "listener": "web", "pool": "users"}]),
            "streams[0].listener",
            "speaks http; a stream needs tcp or udp",
        ),
        (
            good(streams=[{"name": "s", "listener": "wbe", "pool": "users"}]),
            "streams[0].listener",
            "there is no listener 'wbe'; did you mean 'web'?",
        ),
        (
            good(apis=[{"name": "shop", "versioning": {"versions": [{"name": "v1"}], "default": "v2"}}]),
            "apis[0].versioning.default",
            "there is no version",
        ),
        (good(observe={"tracing": {"secret": "$env:NOWHERE_AT_ALL"}}), "observe.tracing.secret", "environment variable"),
        (good(observe={"metrics": {"max_series": 1}}), "observe.metrics.max_series", "should be at least 10, not 1"),
    ],
)
def test_refuses(data, path, message):
    found = problems(data)
    assert message in found.get(path, ""), found


def test_finds_the_same_credential_of_two_consumers_without_showing_it():
    data = good()
    data["consumers"].append({"name": "mallory", "credentials": [{"plugin": "key", "config": {"key": "alice's"}}]})
    found = problems(data)
    assert found == {"consumers[2].credentials[0]": "is the same as consumers[0].credentials[0], of consumer 'alice'"}


def test_a_policy_that_only_hides_another_needs_no_settings():
    assert not warnings(route(policies=[{"plugin": "rates", "enabled": False}]))
    found = problems(route(policies=[{"plugin": "rates", "enabled": False, "config": {"limits": []}}]))
    assert found == {"routes[0].policies[0].config.limits": "should not be empty"}
    assert problems(route(policies=[{"plugin": "rates"}])) == {"routes[0].policies[0].config.limits": "is required"}


def test_an_object_with_a_mistake_still_counts_as_there():
    assert list(problems(pool(timeouts={"connect_s": -1}))) == ["pools[0].timeouts.connect_s"]


def test_finds_mistakes_inside_an_object_that_has_others():
    data = route(pool="nope", colour="red", policies=[{"plugin": "nope"}], match={"paths": ["x"]})
    assert list(problems(data)) == [f"routes[0].{path}" for path in ("colour", "match.paths[0]", "policies[0].plugin", "pool")]


def test_tcp_and_udp_may_share_a_port_and_two_families_too():
    listeners = [
        {"name": "a", "address": "127.0.0.1:53", "protocol": "tcp"},
        {"name": "b", "address": "127.0.0.1:53", "protocol": "udp"},
        {"name": "c", "address": "[::]:8000"},
        {"name": "d", "address": "0.0.0.0:8000"},
    ]
    assert set(warnings(good(listeners=listeners))) == {"listeners[0]", "listeners[1]"}


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        (pool(members=[]), "pools[0].members", "the pool has no members"),
        (
            pool(members=[{"address": "a:1", "weight": 0}, {"address": "a:2", "state": "drain"}]),
            "pools[0].members",
            "no member takes new requests",
        ),
        (pool(tls={"verify": False}), "pools[0].tls.verify", "members are not verified"),
        (good(routes=[GOOD["routes"][0], {**GOOD["routes"][0], "name": "twin"}]), "routes[1].match", "is the same as that of routes[0]"),
        (good(listeners=[{"name": "x", "address": "a:1", "protocol": "https"}]), "listeners[0].protocol", "there are no certificates"),
        (
            good(consumers=[{"name": "a", "policies": [{"plugin": "key"}]}]),
            "consumers[0].policies[0].plugin",
            "names callers, which is over",
        ),
    ],
)
def test_warns_of(data, path, message):
    found = warnings(data)
    assert message in found.get(path, ""), found


def test_a_route_that_is_switched_off_is_no_twin():
    assert not warnings(good(routes=[GOOD["routes"][0], {**GOOD["routes"][0], "name": "twin", "enabled": False}]))
