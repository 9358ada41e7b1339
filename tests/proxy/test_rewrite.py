import pytest

from gateway.http.errors import GatewayError
from gateway.model.route import Route
from gateway.proxy.rewrite import authority_of, rewriter, set_host
from gateway.proxy.router import Entry, Router
from tests.proxy.routes import api, request


def rewritten(url, paths, apis=None, headers=(("X-A", "1"), ("host", "a.test")), **settings):
    """Route the request, rewrite it, return it."""
    made = Route.model_validate({"name": "it", "match": {"paths": paths}, "api": apis.name if apis else None, **settings})
    exchange = request(url, headers=headers)
    assert Router.build([Entry(made, apis, "it")]).find(exchange) == "it"
    rewrite = rewriter(made)
    if rewrite is not None:
        rewrite(exchange)
    return exchange.request


@pytest.mark.parametrize(
    ("paths", "path", "sent"),
    [
        (["/api"], "/api/users", "/users"),
        (["/api"], "/api/", "/"),
        (["/api"], "/api", "/"),
        (["/api/"], "/api/users", "/users"),
        (["/"], "/api/users", "/api/users"),
        (["=/api"], "/api", "/"),
        (["/a", "/a/b"], "/a/b/c", "/c"),
        (["/a", "/a/b"], "/a/c", "/c"),
        (["/users/{id}"], "/users/42", "/42"),
        (["/v1/users/{id}/x"], "/v1/users/42/x", "/42/x"),
        (["/files/{path...}"], "/files/a/b", "/a/b"),
        (["~^/files/[a-z]+"], "/files/abc/d", "/abc/d"),
        (["~[a-z]+$"], "/files/abc", "/files/abc"),
        (["/api"], "/api/a%2Fb", "/a%2Fb"),
    ],
)
def test_strips_the_literal_beginning_of_the_matched_path(paths, path, sent):
    assert rewritten(path, paths, strip_path=True).path == sent


@pytest.mark.parametrize(
    ("paths", "template", "url", "path", "query"),
    [
        (["/"], "/fixed", "/anything?a=1", "/fixed", "a=1"),
        (["/"], "/fixed?b=2", "/anything?a=1", "/fixed", "b=2"),
        (["/"], "/fixed?", "/anything?a=1", "/fixed", ""),
        (["/users/{id}"], "/people/{id}/profile", "/users/42", "/people/42/profile", ""),
        (["/users/{id}"], "/people/{id}", "/users/a%2Fb%20%C3%A9", "/people/a%2Fb%20%C3%A9", ""),
        (["/users/{id}"], "/people?id={id}", "/users/a%26b=c+d", "/people", "id=a%26b%3Dc%2Bd"),
        (["/files/{p...}"], "/data/{p}", "/files/a/b%2Fc", "/data/a/b%2Fc", ""),
        (["/files/{p...}"], "/data?file={p}", "/files/a/b%2Fc", "/data", "file=a%2Fb%2Fc"),
        ([r"~^/img/(?P<name>[^/]+)\.png$"], "/pictures/{name}", "/img/a%20b.png", "/pictures/a%20b", ""),
        (["/api"], "/v2{path}", "/api/x", "/v2/api/x", ""),
        (["/api"], "/v2/{rest}", "/api/x", "/v2/x", ""),
        (["/api"], "{rest}", "/api", "/", ""),
        (["/api"], "/v2/{rest}/", "/api/x", "/v2/x/", ""),
        (["/api"], "/x?from={path}", "/api/a%20b", "/x", "from=/api/a%20b"),
    ],
)
def test_rewrites_the_path_and_fills_in_what_was_captured(paths, template, url, path, query):
    request = rewritten(url, paths, rewrite_path=template)
    assert (request.path, request.query) == (path, query)


def test_the_version_can_go_back_into_the_path():
    shop = api("shop", versioning={"versions": [{"name": "v1"}]})
    assert rewritten("/v1/users", ["/users"], shop).path == "/users"
    assert rewritten("/v1/users", ["/users"], shop, rewrite_path="/{version}{path}").path == "/v1/users"


def test_a_capture_cannot_climb_out_of_the_path_it_is_put_into():
    with pytest.raises(GatewayError) as refused:
        rewritten("/files/..x", [r"~^/files/(?P<name>\.\.)x"], rewrite_path="/public/{name}/secret")
    assert (refused.value.status, refused.value.code) == (400, "bad_target")
    assert rewritten("/files/.hidden", ["/files/{name}"], rewrite_path="/public/{name}").path == "/public/.hidden"


def test_targets_that_are_no_paths_stay():
    made = Route.model_validate({"name": "it", "rewrite_path": "/x{path}"})
    exchange = request("a.test:443", "CONNECT")
    rewriter(made)(exchange)
    assert exchange.request.path == "a.test:443"


def test_sets_a_literal_host_where_the_host_was():
    request = rewritten("/", ["/"], host="backend.test")
    assert request.headers.fields == [(b"X-A", b"1"), (b"host", b"backend.test")]
    assert request.headers.get("Host") == "backend.test"
    assert rewritten("/", ["/"], headers=(), host="backend.test").headers.fields == [(b"Host", b"backend.test")]


@pytest.mark.parametrize("host", ["preserve", "backend"])
def test_other_host_policies_change_nothing_before_the_member_is_known(host):
    assert rewriter(Route.model_validate({"name": "it", "host": host, "match": {"paths": ["/a"]}})) is None


@pytest.mark.parametrize(
    ("address", "host"), [("127.0.0.1:9001", b"127.0.0.1:9001"), ("[::1]:9001", b"[::1]:9001"), ("unix:/run/app.sock", b"localhost")]
)
def test_a_member_is_named_by_its_address(address, host):
    exchange = request("http://a.test/")
    set_host(exchange, authority_of(address))
    assert exchange.request.headers.fields == [(b"Host", host)]


def test_strips_and_sets_the_host_together():
    request = rewritten("/a/b", ["/a"], strip_path=True, host="b.test")
    assert (request.path, request.headers.get("host")) == ("/b", "b.test")


@pytest.mark.parametrize("settings", [{}, {"strip_path": True}, {"host": "preserve"}])
def test_a_route_that_changes_nothing_costs_nothing(settings):
    assert rewriter(Route.model_validate({"name": "it", **settings})) is None
