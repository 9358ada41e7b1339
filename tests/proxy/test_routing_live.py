"""Routing as clients and backends see it, through a whole gateway."""

from datetime import UTC, datetime, timedelta

import pytest

TODAY = datetime.now(UTC).date()
SHOP = {
    "name": "shop",
    "versioning": {
        "default": "v2",
        "versions": [
            {"name": "v0", "sunset": str(TODAY - timedelta(1))},
            {"name": "v1", "deprecated": "2024-02-29", "sunset": "2999-01-01"},
            {"name": "v2"},
        ],
    },
}
ROUTES = [
    {"name": "strip", "match": {"paths": ["/strip"]}, "strip_path": True},
    {"name": "rewrite", "match": {"paths": ["/users/{id}"], "methods": ["GET"]}, "rewrite_path": "/people/{id}?full=yes"},
    {"name": "host", "match": {"hosts": ["*.inside.test"]}, "host": "backend.test"},
    {"name": "orders", "api": "shop", "match": {"paths": ["/orders"]}},
    {"name": "version", "api": "shop", "match": {"paths": ["/kept"]}, "rewrite_path": "/{version}{path}"},
]


@pytest.fixture
def gateway(run_gateway):
    return run_gateway(routes=ROUTES, apis=[SHOP])


def test_backends_see_the_path_and_host_that_the_route_says(gateway, echo):
    for sent, seen in [
        ("/strip/a%2Fb?q=1", "/a%2Fb?q=1"),
        ("/strip", "/"),
        ("/users/a%2Fb?q=1", "/people/a%2Fb?full=yes"),
        ("/v1/orders/7", "/orders/7"),
        ("/orders/7", "/orders/7"),
        ("/v1/kept", "/v1/kept"),
    ]:
        assert gateway.get(sent).status == 200
        assert echo.last.target == seen
    assert gateway.get("/", {"Host": "a.inside.test"}).status == 200
    assert echo.last.headers.get_all("Host") == ["backend.test"]


def test_clients_are_told_the_end_of_a_version_and_why_nothing_was_found(gateway, echo):
    reply = gateway.get("/v1/orders")
    assert reply.headers.get("Deprecation") == "@1709164800"
    assert reply.headers.get("Sunset") == "Tue, 01 Jan 2999 23:59:59 GMT"
    assert gateway.get("/v2/orders").headers.get("Sunset") is None
    echo.requests.clear()
    for method, target, status, code in [
        ("GET", "/nowhere", 404, "no_route"),
        ("POST", "/users/7", 405, "method_not_allowed"),
        ("GET", "/v9/orders", 404, "unknown_version"),
        ("GET", "/v0/orders", 410, "version_sunset"),
    ]:
        reply = gateway.request(method, target)
        assert (reply.status, reply.json()["code"]) == (status, code)
        assert reply.headers.get("Allow") == ("GET, HEAD" if status == 405 else None)
    assert not echo.requests


def test_a_composition_goes_out_over_the_wire_with_its_missing_parts_named(run_gateway, echo):
    parts = [{"name": "a", "pool": "echo", "path": "/a"}, {"name": "b", "pool": "down", "required": False}]
    down = {"name": "down", "members": [{"address": "127.0.0.1:1"}]}
    gateway = run_gateway(pools=[down], routes=[{"name": "both", "compose": {"parts": parts}}])
    reply = gateway.get("/x", {"Accept-Encoding": "gzip"})
    assert (reply.status, reply.headers.get("X-Gateway-Partial"), reply.headers.get("Cache-Control")) == (200, "b", "no-store")
    assert reply.json()["a"]["target"] == "/a"
    assert gateway.request("HEAD", "/x").content == b""
    assert gateway.post("/x", b"not read by any part").status == 200
    assert gateway.get("/x").status == 200
