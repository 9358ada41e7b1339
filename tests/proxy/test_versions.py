from datetime import UTC, datetime, timedelta

import pytest

from gateway.http.message import Response
from gateway.proxy.versions import announcer
from tests.proxy.routes import api, request, route, router

TODAY = datetime.now(UTC).date()
BY = {
    "path": (lambda version, path: f"/{version}{path}", lambda version: ()),
    "header": (lambda version, path: path, lambda version: [("x-api-version", version)]),
    "query": (lambda version, path: f"{path}?X-API-Version={version}", lambda version: ()),
}

OLD_AND_NEW = (route("old", "/users", api="shop", versions=["v1"]), route("new", "/users", api="shop", versions=["v2"]))


def shop(by="path", default=None, **versions):
    listed = [{"name": name, **dates} for name, dates in (versions or {"v1": {}, "v2": {}}).items()]
    return api("shop", versioning={"by": by, "default": default, "versions": listed})


def asked(by, version, path="/users"):
    url, headers = BY[by]
    return request(url(version, path), headers=headers(version))


def refused(made, exchange):
    assert made.find(exchange) is None
    refusal = made.refusal(exchange)
    return refusal.status, refusal.code


@pytest.mark.parametrize("by", BY)
def test_a_request_names_its_version(by):
    made = router(*OLD_AND_NEW, apis=[shop(by)])
    for version, name in (("v1", "old"), ("v2", "new")):
        exchange = asked(by, version)
        assert made.find(exchange) == name
        assert (exchange.version, exchange.request.path) == (version, "/users")


@pytest.mark.parametrize("by", BY)
def test_an_unknown_version_is_404(by):
    made = router(route("it", "/users", api="shop"), apis=[shop(by)])
    assert refused(made, asked(by, "v9")) == (404, "unknown_version")


@pytest.mark.parametrize("by", ["header", "query"])
def test_an_unknown_version_is_not_handed_to_a_wider_route(by):
    made = router(route("it", "/users", api="shop"), route("all", "/"), apis=[shop(by)])
    assert refused(made, asked(by, "v9")) == (404, "unknown_version")
    assert made.find(asked(by, "v9", "/other")) == "all"


@pytest.mark.parametrize("by", BY)
def test_without_a_version_the_default_is_meant(by):
    made = router(*OLD_AND_NEW, apis=[shop(by, "v2")])
    exchange = request("/users")
    assert made.find(exchange) == "new"
    assert (exchange.version, exchange.request.path) == ("v2", "/users")


@pytest.mark.parametrize(("by", "code"), [("path", "no_route"), ("header", "unknown_version"), ("query", "unknown_version")])
def test_without_a_version_and_a_default_nothing_is_found(by, code):
    made = router(route("it", "/users", api="shop"), apis=[shop(by)])
    assert refused(made, request("/users")) == (404, code)


@pytest.mark.parametrize("by", BY)
def test_a_version_is_served_on_the_day_of_its_sunset_and_410_from_the_next_on(by):
    last = {"v1": {"sunset": TODAY}, "v2": {"sunset": TODAY - timedelta(1)}}
    made = router(route("it", "/users", api="shop"), apis=[shop(by, **last)])
    assert made.find(asked(by, "v1")) == "it"
    assert refused(made, asked(by, "v2")) == (410, "version_sunset")


def test_the_version_in_the_path_is_removed_before_matching():
    made = router(
        route("template", "/users/{id}", api="shop"),
        route("regex", "~^/n[0-9]+/(?P<rest>.*)", api="shop"),
        route("exact", "=/", api="shop"),
        route("rest", "/files/{path...}", api="shop"),
        route("prefix", "/a", api="shop"),
        apis=[shop()],
    )
    for url, name, path, captures in [
        ("/v1/users/42", "template", "/users/42", {"id": "42"}),
        ("/v2/n7/x", "regex", "/n7/x", {"rest": "x"}),
        ("/v1", "exact", "/", {}),
        ("/v1/", "exact", "/", {}),
        ("/v2/files", "rest", "/files", {"path": ""}),
        ("/v2/files/a/b", "rest", "/files/a/b", {"path": "a/b"}),
        ("/v1/a/b", "prefix", "/a/b", {}),
    ]:
        exchange = request(url)
        assert made.find(exchange) == name
        assert (exchange.request.path, exchange.captures, exchange.version) == (path, captures, url[1:3])
    assert made.find(request("/v1x/a")) is None


def test_a_wrong_method_on_a_known_version_is_405():
    made = router(route("it", "/users", api="shop", methods=["GET"]), apis=[shop()])
    exchange = request("/v1/users", "PUT")
    assert refused(made, exchange) == (405, "method_not_allowed")


def test_an_api_gives_its_hosts_to_routes_that_name_none():
    hosted = api("shop", hosts=["shop.test"])
    made = router(route("a", "/a", api="shop"), route("b", "/b", api="shop", hosts=["b.test"]), apis=[hosted])
    assert made.find(request("http://shop.test/a")) == "a"
    assert made.find(request("http://shop.test/b")) is None
    assert made.find(request("http://b.test/b")) == "b"
    assert made.find(request("http://b.test/a")) is None


@pytest.mark.parametrize(
    ("dates", "fields"),
    [
        ({}, {}),
        ({"deprecated": "2024-02-29"}, {"Deprecation": "@1709164800"}),
        ({"deprecated": "2999-01-01"}, {}),
        ({"sunset": "2999-01-01"}, {"Sunset": "Tue, 01 Jan 2999 23:59:59 GMT"}),
        (
            {"deprecated": "2020-01-01", "sunset": "2999-01-01"},
            {"Deprecation": "@1577836800", "Sunset": "Tue, 01 Jan 2999 23:59:59 GMT"},
        ),
    ],
)
def test_responses_announce_the_end_of_their_version(dates, fields):
    announce = announcer(shop(v1=dates, v2={"sunset": "2999-12-31"}))
    exchange = request("/users")
    exchange.version, exchange.response = "v1", Response(200, [("Sunset", "never")] if "Sunset" in fields else ())
    announce(exchange)
    assert dict(exchange.response.headers) == fields


def test_an_api_whose_versions_have_no_end_announces_nothing():
    assert announcer(None) is None
    assert announcer(api("plain")) is None
    assert announcer(shop()) is None
