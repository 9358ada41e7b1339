import pytest

from gateway.http.errors import ProtocolError
from gateway.proxy.explain import exchange_for, explain
from tests.proxy.routes import api, request, route, router

HEADERS = {"X-A": "", "X-B": "1"}
NOT_ORDERS = (
    "Host api.test is not a.test or b.test; path /users/42 does not fit /orders or ~^/o; "
    "method GET is not POST; it wants header X-A; it wants header X-B: 1; it wants query parameter q matching ^x."
)


def told(made, *arguments, **settings):
    return [(verdict.route.name, verdict.verdict, verdict.reason) for verdict in explain(made, request(*arguments, **settings))]


def test_tells_the_winner_first_and_why_each_other_lost():
    made = router(
        route("users", "/users/{id}", hosts=["api.test"], methods=["GET"]),
        route("urgent", "=/nothing", priority=5),
        route("copy", "/users/{id}", hosts=["api.test"]),
        route("prefix", "/users", hosts=["api.test"]),
        route("wild", "/users/{id}", hosts=["*.test"]),
        route("low", "/", priority=-1),
        route("users2", "/users/{id}", hosts=["api.test"], methods=["GET"]),
        route("orders", "/orders", "~^/o", hosts=["a.test", "b.test"], methods=["POST"], query={"q": "~^x"}, headers=HEADERS),
        route("off", enabled=False),
    )
    assert told(made, "http://api.test/users/42") == [
        ("users", "chosen", "It fits by host api.test and path /users/{id}."),
        ("users2", "outranked", "It fits equally well, and users2 comes after users in the alphabet."),
        ("copy", "outranked", "It fits too, but has 0 conditions beside host and path, users has 1."),
        ("prefix", "outranked", "It fits too, but path /users is less specific than /users/{id} of users."),
        ("wild", "outranked", "It fits too, but *.test is less specific than api.test of users."),
        ("low", "outranked", "It fits too, but priority -1 is below the 0 of users."),
        ("urgent", "no_match", "Path /users/42 does not fit =/nothing."),
        ("orders", "no_match", NOT_ORDERS),
        ("off", "disabled", "It is switched off."),
    ]


def test_tells_what_became_of_versions():
    shop = api("shop", versioning={"by": "header", "versions": [{"name": "v1", "sunset": "2020-01-01"}, {"name": "v2"}]})
    made = router(route("old", "/a", api="shop", versions=["v1"]), route("new", "/a", api="shop", versions=["v2"]), apis=[shop])
    assert told(made, "/a", headers=[("X-API-Version", "v2")])[0] == ("new", "chosen", "It fits by path /a, version v2.")
    assert told(made, "/a", headers=[("X-API-Version", "v2")])[1] == ("old", "no_match", "It serves version v1, not v2.")
    assert told(made, "/a", headers=[("X-API-Version", "v1")])[0] == ("old", "refused", "It fits, but version v1 is past its sunset: 410.")
    assert told(made, "/a")[0] == ("new", "refused", "It fits, but its API has no version (none named): 404.")
    paths = api("paths", versioning={"versions": [{"name": "v1"}]})
    made = router(route("it", "/a", api="paths"), apis=[paths])
    assert told(made, "/v1/a")[0][:2] == ("it", "chosen")
    assert told(made, "/a") == [("it", "no_match", "Path /a does not fit /a in version v1.")]


def test_an_explained_exchange_stays_as_it_was():
    shop = api("shop", versioning={"versions": [{"name": "v1"}]})
    exchange = request("/v1/users/7")
    explain(router(route("it", "/users/{id}", api="shop"), apis=[shop]), exchange)
    assert (exchange.request.path, exchange.captures, exchange.version) == ("/v1/users/7", {}, "")


@pytest.mark.parametrize(
    ("url", "headers", "host", "path", "query"),
    [
        ("/a/../b?x=1", [], "", "/b", "x=1"),
        ("http://API.test:8080/a", [], "api.test", "/a", ""),
        ("api.test/a", [], "api.test", "/a", ""),
        ("/a", [("host", "Api.test:80")], "api.test", "/a", ""),
        ("http://10.0.0.1/a", [("Host", "api.test")], "api.test", "/a", ""),
        ("*", [], "", "*", ""),
    ],
)
def test_makes_the_exchange_that_a_request_would_be(url, headers, host, path, query):
    made = exchange_for("options", url, headers).request
    assert (made.method, made.host, made.path, made.query) == ("OPTIONS", host, path, query)
    assert made.headers.get_all("Host") == ([value for _, value in headers] or ([host] if host else []))


def test_a_request_that_no_client_could_send_is_a_protocol_error():
    with pytest.raises(ProtocolError):
        exchange_for("GET", "/a\\b")
