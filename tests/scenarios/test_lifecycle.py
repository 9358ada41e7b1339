"""The whole life of an exchange in one gateway: the five plugins and one of somebody else's, so that every hook carries traffic.

Also who may switch a policy off or replace it, when it acts, and how a traced exchange explains itself.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.observe.trace_header import sign
from gateway.testing import Answer, Echo, Received, Reply
from tests.scenarios.node import Node, eventually

ALICE, BOB, CAROL = "alice-key-0123456789", "bob-key-0123456789", "carol-key-0123456789"
TRACING = "trace-secret-0123456789"
#: acts at the hooks that none of the five uses
USHER = '''
from gateway.api import Plugin, Reject, Response, hookimpl


class Usher(Plugin):
    """Let some in, answer for closed doors, show to a seat, write who was there."""

    name = "usher"

    class Config(Plugin.Config):
        guests: tuple[str, ...] = ()
        closed: str = ""
        book: str = ""

    @hookimpl
    def authorize(self, exchange):
        groups = exchange.consumer.groups if exchange.consumer else ()
        if self.config.guests and not set(self.config.guests) & set(groups):
            return Reject(403, "not_a_guest", "none of the groups of the caller is invited")

    @hookimpl
    def respond(self, exchange):
        if self.config.closed and exchange.request.path.endswith(self.config.closed):
            return Response(203, [("Content-Type", "text/plain")], b"closed today")

    @hookimpl
    def select_backend(self, exchange, candidates):
        seat = exchange.request.headers.get("X-Seat")
        return next((candidate for candidate in candidates if candidate.address == seat), None)

    @hookimpl
    def log(self, exchange):
        if self.config.book:
            with open(self.config.book, "a") as book:
                book.write(f"{exchange.id} {exchange.response.status}\\n")
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A directory on the gateway's path with the distribution of the usher."""
    site = tmp_path_factory.mktemp("site")
    (site / "acme_usher.py").write_text(USHER)
    (about := site / "acme_usher-1.0.dist-info").mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-usher\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[gateway.plugins]\nusher = acme_usher:Usher\n")
    return site


def part(request: Received) -> Answer:
    """Answer as the backends of a page do, and describe any other request."""
    if request.path == "/missing":
        return Answer(404, [], b"")
    known = {"/user/7": {"id": 7, "name": "Ada", "password": "x"}, "/orders/7": {"orders": [1, 2]}}
    found = known.get(request.path, {"headers": [[name.lower(), value] for name, value in request.headers], "path": request.path})
    return Answer(200, [("Content-Type", "application/json"), ("X-Internal", "1")], json.dumps(found).encode())


@pytest.fixture(scope="module")
def echoes() -> Iterator[tuple[Echo, Echo]]:
    both = Echo(answer=part), Echo(answer=part)
    yield both
    for echo in both:
        echo.close()


def mark(word: str, name: str = "mark", **fields: Any) -> dict[str, Any]:
    """Make a policy that leaves a mark on the request."""
    return {"plugin": "headers", "name": name, "config": {"request": {"add": {"X-Marks": word}}}, **fields}


def rate(requests: int, **fields: Any) -> dict[str, Any]:
    return {"plugin": "rate_limit", "config": {"limits": [{"requests": requests, "per_s": 3600}]}, **fields}


KEY = {"plugin": "key_auth"}


def routes(book: Path) -> list[dict[str, Any]]:
    usher = {"plugin": "usher", "config": {"guests": ["gold"], "closed": "/closed", "book": str(book)}}
    headers = {
        "plugin": "headers",
        "config": {
            "request": {"set": {"X-Caller": "{consumer}", "X-Plan": "{metadata:plan}"}},
            "response": {"set": {"X-Exchange": "{id}"}, "remove": ["X-Internal"]},
        },
    }
    parts = [
        {"name": "user", "pool": "both", "path": "/user/{id}"},
        {"name": "orders", "pool": "both", "path": "/orders/{id}"},
        {"name": "news", "pool": "both", "path": "/missing", "required": False},
    ]
    merge = {"plugin": "merge", "config": {"parts": {"user": {"deny": ["password"]}}, "errors": "failed"}}
    shadow = [{**KEY, "enforce": False}, rate(1, enforce=False, name="shadow-rate")]
    when = [
        mark("posted", "a", when={"methods": ["POST"]}),
        mark("below", "b", when={"paths": ["/when/below"]}),
        mark("batch", "c", when={"headers": {"X-Batch": "~^[0-9]+$"}}),
        mark("gold", "d", when={"groups": ["gold"]}),
        mark("others", "e", when={"groups": ["gold"], "unless": True}),
    ]

    def route(name: str, *policies: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"name": name, "match": {"paths": [f"/{name}"]}, "pool": "both", "policies": list(policies), **fields}

    return [
        route("chain", KEY, usher, rate(1000), headers),
        route("limited", KEY, rate(5, name="five")),
        {"name": "page", "match": {"paths": ["/page/{id}"]}, "compose": {"parts": parts}, "policies": [KEY, merge]},
        route("shadow", *shadow),
        route("when", {**KEY, "config": {"anonymous": "nobody"}}, *when),
        route("plain"),
        route("shop", mark("route", "own"), api="shop"),
        route("mine", KEY, mark("route", "own"), api="shop"),
        route("switched", KEY),
    ]


@pytest.fixture(scope="module")
def node(echoes, site, tmp_path_factory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("lifecycle")
    (folder / "book").touch()
    configuration = {
        "pools": [{"name": "both", "balancer": "random_two", "members": [{"address": echo.address} for echo in echoes]}],
        "policies": [mark("gateway"), mark("everywhere", "tail")],
        "apis": [{"name": "shop", "policies": [mark("api"), mark("", "tail", enabled=False)]}],
        "routes": routes(folder / "book"),
        "consumers": [
            {
                "name": "alice", "groups": ["gold"], "metadata": {"plan": "large"},
                "credentials": [{"plugin": "key_auth", "name": "laptop", "config": {"key": ALICE}}],
                "policies": [mark("alice")],
            },
            {"name": "bob", "credentials": [{"plugin": "key_auth", "config": {"key": BOB}}]},
            {
                "name": "carol", "credentials": [{"plugin": "key_auth", "config": {"key": CAROL}}],
                "policies": [rate(8, name="five")],
            },
            {"name": "nobody"},
        ],
        "observe": {"tracing": {"secret": TRACING}},
    }  # fmt: skip
    node = Node(folder, configuration, workers=2, env={"PYTHONPATH": str(site)})
    yield node
    assert node.stop() == 0


@pytest.fixture
def arrived(echoes) -> Callable[[], list[Received]]:
    """What has reached the backends since the test began."""
    before = [len(echo.requests) for echo in echoes]
    return lambda: [request for echo, count in zip(echoes, before, strict=True) for request in echo.requests[count:]]


def ask(node: Node, path: str, key: str = "", method: str = "GET", **fields: str) -> Reply:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return node.request(method, path, None, headers | ({"X-API-Key": key} if key else {}))


def marks(reply: Reply) -> list[str]:
    assert reply.status == 200
    return [value for name, value in reply.json()["headers"] if name == "x-marks"]


def counted(node: Node, start: str) -> float:
    """Return the value of the series that begins like this, 0 when there is none."""
    lines = node.manage("/metrics").content.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


# -- every hook -----------------------------------------------------------------------------------------------------------------------


def test_every_hook_has_its_say(node, echoes, arrived):
    reply = ask(node, "/chain", ALICE)
    assert reply.status == 200
    (request,) = arrived()
    sent = request.headers
    assert (sent.get("X-Consumer-Name"), sent.get("X-Credential-Name"), sent.get("X-Caller")) == ("alice", "laptop", "alice")
    assert sent.get("X-Plan") == "large" and "X-API-Key" not in sent
    assert reply.headers.get("X-Exchange") == reply.headers.get("X-Request-ID")
    assert "X-Internal" not in reply.headers
    assert reply.headers.get("RateLimit").startswith('"3600s";r=999;')
    line = f"{reply.headers.get('X-Exchange')} 200"
    eventually(lambda: line in (node.folder / "book").read_text(), "the log hook wrote")


@pytest.mark.parametrize(
    ("path", "key", "status", "code"),
    [
        ("/chain", "", 401, "unauthenticated"),
        ("/chain", "not-a-key-0000", 401, "unknown_key"),
        ("/chain", BOB, 403, "not_a_guest"),
        ("/nowhere", ALICE, 404, "no_route"),
    ],
)
def test_who_is_refused_never_reaches_a_backend(node, arrived, path, key, status, code):
    reply = ask(node, path, key)
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert arrived() == []
    if status != 404:
        assert "X-Exchange" in reply.headers, "refusals are transformed too"
    if status == 401:
        assert reply.headers.get("WWW-Authenticate").startswith("ApiKey realm=")


def test_an_answer_without_a_backend(node, arrived):
    reply = ask(node, "/chain/closed", ALICE)
    assert (reply.status, reply.content) == (203, b"closed today")
    assert arrived() == []


def test_a_plugin_may_choose_the_member_and_leaves_the_rest_to_random_two(node, echoes):
    for echo in echoes:
        before = len(echo.requests)
        for _ in range(5):
            assert ask(node, "/chain", ALICE, X_Seat=echo.address).status == 200
        assert len(echo.requests) == before + 5
    for _ in range(30):
        assert ask(node, "/plain").status == 200
    assert all(sum(request.path == "/plain" for request in echo.requests) >= 3 for echo in echoes)


def test_a_composition_is_fetched_and_merged_for_those_who_may(node, arrived):
    assert ask(node, "/page/7").status == 401
    assert arrived() == []
    reply = ask(node, "/page/7", ALICE)
    assert reply.status == 200
    assert reply.json() == {"id": 7, "name": "Ada", "orders": [1, 2], "failed": {"news": "status_404"}}
    assert sorted(request.path for request in arrived()) == ["/missing", "/orders/7", "/user/7"]
    assert [value for name, value in reply.headers if "partial" in name.lower()] == ["news"]


def test_a_rate_is_kept_exactly_by_all_workers_together_and_a_consumers_own_replaces_it(node, arrived):
    answers = Counter(ask(node, "/limited", BOB).status for _ in range(12))
    assert answers == {200: 5, 429: 7}
    refused = ask(node, "/limited", BOB)
    assert refused.json()["code"] == "rate_limited" and int(refused.headers.get("Retry-After")) > 600
    assert Counter(ask(node, "/limited", CAROL).status for _ in range(12)) == {200: 8, 429: 4}
    assert len(arrived()) == 13
    assert counted(node, 'gateway_refusals_total{plugin="rate_limit",policy="route/limited/five"}') == 8
    assert counted(node, 'gateway_refusals_total{plugin="rate_limit",policy="consumer/carol/five"}') == 4


# -- which policies act -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("/plain", "", ["gateway", "everywhere"]),
        ("/shop", "", ["api", "route"]),
        ("/mine", BOB, ["api", "route"]),
        ("/mine", ALICE, ["alice", "route"]),
    ],
    ids=["the gateway's", "an API replaces one and hides one", "a consumer without policies", "a consumer replaces the API's"],
)
def test_a_narrower_scope_replaces_and_hides_what_a_wider_one_says(node, path, key, expected):
    assert sorted(marks(ask(node, path, key))) == sorted(expected)


def test_in_shadow_mode_policies_count_whom_they_would_refuse_and_refuse_nobody(node):
    assert [ask(node, "/shadow").status for _ in range(4)] == [200] * 4
    reply = ask(node, "/shadow", "not-a-key-0000")
    assert reply.status == 200 and "RateLimit" not in reply.headers
    assert counted(node, 'gateway_shadow_refusals_total{plugin="key_auth",policy="route/shadow/key_auth"}') == 5
    assert counted(node, 'gateway_shadow_refusals_total{plugin="rate_limit",policy="route/shadow/shadow-rate"}') == 4
    assert counted(node, 'gateway_refusals_total{plugin="key_auth",policy="route/shadow/key_auth"}') == 0


@pytest.mark.parametrize(
    ("path", "key", "method", "fields", "expected"),
    [
        ("/when", "", "GET", {}, ["others"]),
        ("/when", "", "POST", {}, ["posted", "others"]),
        ("/when/below/it", "", "GET", {}, ["below", "others"]),
        ("/when/belowit", "", "GET", {}, ["others"]),
        ("/when", "", "GET", {"X_Batch": "17"}, ["batch", "others"]),
        ("/when", "", "GET", {"X_Batch": "x"}, ["others"]),
        ("/when", ALICE, "GET", {}, ["gold"]),
        ("/when/below", ALICE, "POST", {"X_Batch": "1"}, ["posted", "below", "batch", "gold"]),
    ],
)
def test_a_condition_decides_when_a_policy_acts(node, path, key, method, fields, expected):
    scope = {"gateway", "everywhere", "alice"}
    assert [word for word in marks(ask(node, path, key, method, **fields)) if word not in scope] == expected


def test_a_policy_is_switched_off_and_on_while_requests_come(node):
    def switch(**fields: Any) -> None:
        others = [route for route in node.configuration["routes"] if route["name"] != "switched"]
        (route,) = (route for route in node.configuration["routes"] if route["name"] == "switched")
        node.change(routes=[*others, {**route, "policies": [{**KEY, **fields}]}])

    assert ask(node, "/switched").status == 401
    switch(enabled=False)
    assert [ask(node, "/switched").status for _ in range(6)] == [200] * 6
    switch(enforce=False)
    assert [ask(node, "/switched").status for _ in range(6)] == [200] * 6
    switch()
    assert [ask(node, "/switched").status for _ in range(6)] == [401] * 6
    assert counted(node, 'gateway_shadow_refusals_total{plugin="key_auth",policy="route/switched/key_auth"}') == 6


# -- why ----------------------------------------------------------------------------------------------------------------------------------


def traced(node: Node, path: str, key: str = "") -> tuple[Reply, dict[str, Any]]:
    """Send a request with an operator's header; return the reply, and the trace from the management address."""
    reply = ask(node, path, key, X_Gateway_Trace=sign(TRACING, time.time() + 60))
    where = f"/traces/{reply.headers.get('X-Request-ID')}"
    eventually(lambda: node.manage(where).status == 200, "the trace has arrived")
    return reply, node.manage(where).json()


def test_a_traced_exchange_is_explained_hook_by_hook(node, echoes, arrived):
    reply, trace = traced(node, "/chain?token=tell-nobody&page=2", ALICE)
    assert reply.status == 200
    (request,) = arrived()
    assert "X-Gateway-Trace" not in request.headers, "the operator's header is for the gateway"
    assert [(step["hook"], step["policy"]) for step in trace["hooks"]] == [
        ("authenticate", "route/chain/key_auth"),
        ("authorize", "route/chain/usher"),
        ("limit", "route/chain/rate_limit"),
        ("transform_request", "route/chain/key_auth"),
        ("transform_request", "consumer/alice/mark"),
        ("transform_request", "gateway/tail"),
        ("transform_request", "route/chain/headers"),
        ("respond", "route/chain/usher"),
        ("select_backend", "route/chain/usher"),
        ("transform_response", "route/chain/rate_limit"),
        ("transform_response", "route/chain/headers"),
        ("log", "route/chain/usher"),
    ]
    steps = {(step["hook"], step["policy"]): step for step in trace["hooks"]}
    assert all(step["us"] >= 0 for step in trace["hooks"])
    assert steps["authenticate", "route/chain/key_auth"]["verdict"] == {"consumer": "alice"}
    assert steps["transform_request", "route/chain/headers"]["changes"]["headers"] == {
        "removed": [],
        "added": [["X-Caller", "alice"], ["X-Plan", "large"]],
    }
    assert ["X-Internal", "1"] in steps["transform_response", "route/chain/headers"]["changes"]["response_headers"]["removed"]
    assert {candidate["address"] for candidate in trace["candidates"]} == {echo.address for echo in echoes}
    assert [candidate["address"] for candidate in trace["candidates"] if candidate["chosen"]] == [trace["member"]]
    assert [(attempt["address"], attempt["outcome"]) for attempt in trace["attempts"]] == [(trace["member"], "200")]
    assert (trace["route"], trace["consumer"], trace["status"]) == ("chain", "alice", 200)
    assert trace["total_us"] >= trace["gateway_us"] + trace["upstream_us"] > 0
    everything = json.dumps(trace)
    assert ALICE not in everything and "tell-nobody" not in everything, "a trace holds no secrets"


def test_a_traced_refusal_says_who_refused_and_why(node):
    _, trace = traced(node, "/chain", BOB)
    assert (trace["status"], trace["code"], trace["refused_by"], trace["consumer"]) == (403, "not_a_guest", "usher", "bob")
    verdict = next(step["verdict"] for step in trace["hooks"] if step["hook"] == "authorize")
    assert verdict == {"refused": 403, "code": "not_a_guest", "detail": "none of the groups of the caller is invited"}
    assert trace["attempts"] == []


def test_a_traced_composition_shows_its_parts_and_its_merge(node):
    _, trace = traced(node, "/page/7", ALICE)
    assert sorted(attempt["outcome"] for attempt in trace["attempts"]) == ["200", "200", "404"]
    (merge,) = (step for step in trace["hooks"] if step["hook"] == "aggregate")
    assert (merge["policy"], merge["verdict"]) == ("route/page/merge", {"response": 200})
    assert (trace["captures"], trace["code"]) == ({"id": "7"}, "partial")


def test_nobody_is_traced_without_the_secret(node, arrived):
    reply = ask(node, "/plain", X_Gateway_Trace=sign("another-secret", time.time() + 60))
    assert reply.status == 200
    assert "X-Gateway-Trace" not in arrived()[0].headers
    traced(node, "/plain")
    assert node.manage(f"/traces/{reply.headers.get('X-Request-ID')}").status == 404
