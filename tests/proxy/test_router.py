import random

import pytest

from gateway.proxy.router import Router
from tests.proxy.routes import api, entry, found, request, route, router


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("/", ["/", "/a", "/a/b/"], []),
        ("/users", ["/users", "/users/", "/users/42", "/users/42/orders"], ["/", "/user", "/usersmith", "/Users", "/a/users"]),
        ("/users/", ["/users", "/users/", "/users/42"], ["/usersmith"]),
        ("=/users", ["/users"], ["/users/", "/users/42", "/"]),
        ("=/", ["/"], ["/a"]),
        ("/users/{id}", ["/users/42", "/users/%2F"], ["/users", "/users/", "/users/42/", "/users/42/orders"]),
        ("/users/{id}/orders", ["/users/42/orders"], ["/users//orders", "/users/42", "/users/42/orders/1"]),
        ("/files/{path...}", ["/files", "/files/", "/files/a", "/files/a/b"], ["/filesystem", "/"]),
        ("~^/v[0-9]+/", ["/v1/", "/v22/x"], ["/v1", "/va/", "/x/v1/"]),
        (r"~\.png$", ["/a.png", "/x/y.png"], ["/a.png/b", "/apng"]),
        ("~^/a|^/b", ["/a", "/bx"], ["/c/a"]),
        ("~(?i)^/Admin", ["/admin", "/ADMIN/x"], ["/x/admin"]),
        ("/caf%c3%a9", ["/caf%C3%A9", "/caf%c3%A9/menu"], ["/cafe"]),
        ("/café", ["/caf%C3%A9"], ["/cafe"]),
        ("/%7Euser", ["/~user", "/%7euser"], ["/user"]),
        ("/a//b", ["/a//b", "/a//b/c"], ["/a/b"]),
    ],
)  # fmt: skip
def test_a_path_pattern_takes_these_paths_and_no_others(pattern, fitting, others):
    made = router(route("it", pattern))
    assert [path for path in fitting if found(made, path) != "it"] == []
    assert [path for path in others if found(made, path) is not None] == []


def test_captures_of_one_segment_are_percent_decoded():
    made = request("/users/a%2Fb%20%C3%A9/orders/7")
    router(route("it", "/users/{id}/orders/{order}")).find(made)
    assert made.captures == {"id": "a/b é", "order": "7"}


def test_captures_that_may_span_segments_stay_as_sent():
    made = request("/files/a/b%2Fc%20d")
    router(route("it", "/files/{path...}")).find(made)
    assert made.captures == {"path": "a/b%2Fc%20d"}
    made = request("/img/cat%20.png")
    router(route("it", r"~^/img/(?P<name>[^/]+)\.(?P<kind>png|jpg)(?P<none>x)?$")).find(made)
    assert made.captures == {"name": "cat%20", "kind": "png"}


def test_an_exchange_without_captures_keeps_its_empty_dict():
    made = request("/users/42")
    before = made.captures
    assert router(route("it", "/users")).find(made) == "it"
    assert made.captures is before


@pytest.mark.parametrize(
    ("hosts", "fitting", "others"),
    [
        (["api.example.com"], ["api.example.com", "API.example.com:80", "api.example.com."], ["example.com", "x.api.example.com"]),
        (["*.example.com"], ["a.example.com", "a.b.c.example.com"], ["example.com", "aexample.com", "example.com.evil.net"]),
        (["API.Example.com"], ["api.example.com"], ["a.example.com"]),
        (["a.com", "*.b.com"], ["a.com", "x.b.com"], ["b.com", "x.a.com"]),
        (["[2001:DB8:0::1]"], ["[2001:db8::1]", "[2001:db8::1]:80"], ["[2001:db8::2]"]),
        (["192.0.2.7"], ["192.0.2.7"], ["192.0.2.8"]),
        ([], ["anything.test", "a"], []),
    ],
)  # fmt: skip
def test_a_host_pattern_takes_these_hosts_and_no_others(hosts, fitting, others):
    made = router(route("it", hosts=hosts))
    assert [host for host in fitting if found(made, f"http://{host}/") != "it"] == []
    assert [host for host in others if found(made, f"http://{host}/") is not None] == []


@pytest.mark.parametrize(
    ("match", "fitting", "others"),
    [
        ({"methods": ["POST"]}, {"method": "POST"}, {"method": "GET"}),
        ({"methods": ["GET"]}, {"method": "HEAD"}, {"method": "OPTIONS"}),
        ({"headers": {"X-Kind": "a"}}, {"headers": [("x-kind", "a")]}, {"headers": [("X-Kind", "ab")]}),
        ({"headers": {"X-Kind": "~^a"}}, {"headers": [("x-kind", "ab")]}, {"headers": [("X-Kind", "ba")]}),
        ({"headers": {"X-Kind": "~^a"}}, {"headers": [("x-kind", "ab")]}, {}),
        ({"headers": {"X-Kind": ""}}, {"headers": [("x-kind", "")]}, {}),
        ({"query": {"q": "a b"}}, {"url": "/?q=a+b"}, {"url": "/?q=a"}),
        ({"query": {"q": "2"}}, {"url": "/?q=1&q=2"}, {"url": "/"}),
        ({"query": {"q": "~^[0-9]+$"}}, {"url": "/?x&q=%31"}, {"url": "/?q=a1"}),
        ({"query": {"q": ""}}, {"url": "/?q"}, {"url": "/?p=q"}),
        ({"clients": ["10.0.0.0/8", "2001:db8::/32"]}, {"client": "10.9.9.9"}, {"client": "11.0.0.1"}),
        ({"clients": ["10.0.0.0/8", "2001:db8::/32"]}, {"client": "2001:db8::5"}, {"client": "2001:db9::5"}),
        ({"clients": ["10.0.0.0/8"]}, {"client": "::ffff:10.1.1.1"}, {"client": "::10.1.1.1"}),
        ({"clients": ["10.0.0.0/8"]}, {"client": "10.0.0.1"}, {"client": ""}),
        ({"clients": ["fe80::/10"]}, {"client": "fe80::1%eth0"}, {"client": "unix"}),
        ({"methods": ["GET"], "headers": {"A": "1"}, "query": {"b": "2"}}, {"url": "/?b=2", "headers": [("A", "1")]}, {"url": "/?b=2"}),
    ],
)  # fmt: skip
def test_a_condition_takes_this_request_and_not_that_one(match, fitting, others):
    made = router(route("it", **match))
    assert found(made, **{"url": "/", **fitting}) == "it"
    assert found(made, **{"url": "/", **others}) is None


def test_a_route_that_is_switched_off_takes_nothing():
    made = router(route("off", "/users", enabled=False), route("rest", "/"))
    assert found(made, "/users") == "rest"


ORDER = [  # each pair: the winner, the loser, a request that fits both
    (route("z", "/", priority=1), route("a", "=/users"), "/users"),
    (route("z", "/", hosts=["a.test"]), route("a", "=/users", hosts=["*.test"]), "http://a.test/users"),
    (route("z", "/", hosts=["*.b.test"]), route("a", "=/users", hosts=["*.test"]), "http://a.b.test/users"),
    (route("z", "/", hosts=["*.test"]), route("a", "=/users"), "http://a.test/users"),
    (route("z", "=/users"), route("a", "/users", methods=["GET"]), "/users"),
    (route("z", "/users/me"), route("a", "/users/{id}"), "/users/me"),
    (route("z", "/users/{id}"), route("a", "/users"), "/users/42"),
    (route("z", "/users/{id}"), route("a", "/users/{rest...}"), "/users/42"),
    (route("z", "/users/{rest...}"), route("a", "/users"), "/users/42"),
    (route("z", "/a/{x}/c"), route("a", "/{y}/b/c"), "/a/b/c"),
    (route("z", "/a/b/{y}"), route("a", "/a/{x}/c"), "/a/b/c"),
    (route("z", "~^/users/[0-9]+$"), route("a", "/users/{id}"), "/users/42"),
    (route("z", "/users/42"), route("a", "~^/users/[0-9]+"), "/users/42/x"),
    (route("z", "~^/users/[0-9]+"), route("a", "/users"), "/users/42"),
    (route("z", "~^/users/4"), route("a", "~^/users/[0-9]+.*.?"), "/users/42"),
    (route("z", "~^/users/[0-9]+"), route("a", "~/users"), "/users/42"),
    (route("z", "~[0-9]+$"), route("a", "/"), "/users/42"),
    (route("z", "/users/42"), route("a", "/users"), "/users/42/orders"),
    (route("z", "/users", methods=["GET"]), route("a", "/users"), "/users"),
    (route("z", "/users", methods=["GET"], query={"a": ""}), route("a", "/users", methods=["GET"]), "/users?a"),
    (route("a", "/users"), route("z", "/users"), "/users"),
    (route("z", "/b", "/"), route("a", "/a", "/"), "/b"),
]  # fmt: skip


@pytest.mark.parametrize(("winner", "loser", "url"), ORDER)
def test_the_first_of_two_wins_whichever_was_added_first(winner, loser, url):
    assert found(router(loser), url) == loser.name
    assert found(router(winner, loser), url) == found(router(loser, winner), url) == winner.name


def test_a_loser_takes_what_the_winners_conditions_refuse():
    conditional = route("d", "/users/{id}", headers={"X": "1"})
    made = router(route("a", "/users", methods=["GET"]), route("b", "/users"), route("c", "/"), conditional)
    assert found(made, "/users", "PUT") == "b"
    assert found(made, "/users/42") == "a"
    assert found(made, "/users/42", headers=[("X", "1")]) == "d"
    assert found(made, "/other", "PUT") == "c"


def test_a_dead_end_below_a_literal_segment_goes_back_to_the_capture():
    made = router(route("deep", "/a/b/c"), route("capture", "/a/{x}/d"), route("top", "/"))
    assert found(made, "/a/b/d") == "capture"
    assert found(made, "/a/b/e") == "top"


def test_priority_reaches_across_hosts_and_kinds_of_path():
    made = router(
        route("exact", "=/users", hosts=["a.test"]),
        route("maintenance", "/", priority=10, headers={"X-Maintenance": ""}),
        route("fallback", "/", priority=-10),
    )
    assert found(made, "http://a.test/users") == "exact"
    assert found(made, "http://a.test/users", headers=[("X-Maintenance", "1")]) == "maintenance"
    assert found(made, "http://a.test/else") == "fallback"


def test_targets_that_are_no_paths_reach_only_routes_for_every_path():
    made = router(route("all", "/"), route("users", "/users"))
    assert found(made, "*", "OPTIONS") == "all"
    assert found(made, "a.test:443", "CONNECT") == "all"
    assert found(router(route("users", "/users")), "*", "OPTIONS") is None


def test_hosts_that_clients_make_up_do_not_pile_up():
    made = router(route("it", hosts=["*.test"]))
    for number in range(10_000):
        assert found(made, f"http://h{number}.test/") == "it"
    assert len(made._chains) <= 4096


@pytest.mark.parametrize(
    ("url", "method", "status", "code", "allow"),
    [
        ("/nowhere", "GET", 404, "no_route", None),
        ("/users", "PATCH", 405, "method_not_allowed", "GET, HEAD, POST"),
        ("/users/42", "PATCH", 405, "method_not_allowed", "DELETE, GET, HEAD, POST"),
        ("/guarded", "POST", 404, "no_route", None),
    ],
)
def test_says_why_nothing_was_found(url, method, status, code, allow):
    made = router(
        route("read", "/users", methods=["GET"]),
        route("write", "/users", methods=["POST"]),
        route("drop", "/users/{id}", methods=["DELETE"]),
        route("guarded", "/guarded", methods=["GET"], headers={"X": "1"}),
    )
    exchange = request(url, method)
    assert made.find(exchange) is None
    refusal = made.refusal(exchange)
    assert (refusal.status, refusal.code, refusal.headers.get("Allow")) == (status, code, allow)


def test_an_update_leaves_the_router_it_came_from_alone():
    old = router(route("a", "/a/{x}"), route("b", "/b"), route("c", "=/c", hosts=["c.test"]))
    new = old.updated(["a", "c", "never"], [entry(route("b", "/bb")), entry(route("d", "/a/{x}/d"))])
    assert [found(old, url) for url in ("/a/1", "/b", "http://c.test/c", "/bb", "/a/1/d")] == ["a", "b", "c", None, None]
    assert [found(new, url) for url in ("/a/1", "/b", "http://c.test/c", "/bb", "/a/1/d")] == [None, None, None, "b", "d"]


def test_updates_in_any_order_end_in_the_router_that_a_build_makes():
    rng = random.Random(7)
    patterns = ["/", "/a", "=/a", "/a/{x}", "/a/b", "/a/{x}/c", "/{r...}", "~^/a/[a-z]+", "~b$", "/a/b/c"]
    hosts = [[], ["a.test"], ["*.test"], ["*.a.test", "b.test"]]
    asked = ("/", "/a", "/a/b", "/a/z/c", "/a/b/c", "/b")
    urls = [f"http://{host}{path}" for host in ("a.test", "x.a.test", "b.test", "other") for path in asked]
    wanted, made = {}, Router()
    for _ in range(300):
        name = f"r{rng.randrange(12)}"
        if name in wanted and rng.random() < 0.4:
            del wanted[name]
            made = made.updated([name], [])
        else:
            wanted[name] = route(name, *rng.sample(patterns, 2), hosts=rng.choice(hosts), priority=rng.choice((0, 0, 1)))
            made = made.updated([], [entry(wanted[name])])
        built = router(*wanted.values())
        assert [found(made, url) for url in urls] == [found(built, url) for url in urls]
    empty = made.updated(list(wanted), [])
    assert not empty._hosts


def test_the_versions_of_removed_routes_are_forgotten():
    shop = api("shop", versioning={"versions": [{"name": "v1"}]})
    made = router(route("a", "/a", api="shop"), route("b", "/b", api="shop"), apis=[shop])
    asked = request("/v9/a")
    assert made.refusal(asked).code == "unknown_version"
    assert made.updated(["b"], []).refusal(asked).code == "unknown_version"
    assert made.updated(["a"], []).refusal(asked).code == "no_route"
    assert made.updated(["a", "b"], []).refusal(asked).code == "no_route"


def test_an_update_shares_what_it_does_not_touch():
    old = router(*(route(f"r{number}", f"/r{number}/x") for number in range(100)), route("h", "/", hosts=["h.test"]))
    new = old.updated([], [entry(route("r5", "/r5/y"))])
    before, after = old._hosts[""].top.children[""].children, new._hosts[""].top.children[""].children
    assert [name for name in before if before[name] is not after[name]] == ["r5"]
    assert old._hosts["h.test"] is new._hosts["h.test"]


def test_building_lets_others_run():
    pauses = []
    Router.build((entry(route(f"r{number}", f"/r{number}")) for number in range(100)), pause=lambda: pauses.append(1))
    assert len(pauses) == 3
