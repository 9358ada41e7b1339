"""The router against a matcher that tries every route: same winner, same captures, whatever the routes."""

import re
from urllib.parse import unquote

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.explain import explain
from tests.proxy.routes import api, request, route, router

SEGMENTS = ["a", "b", "c", "{x}", "{y}", "d%2F"]
LITERALS = ["a", "b", "c", "", "d%2F", "é"]
REGEXES = ["~^/a/(?P<g>[a-z]+)", "~b$", "~^/a", "~^/[ab]/c", "~.", "~^/(?P<h>a|b)/c"]


@st.composite
def paths(draw):
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(REGEXES))
    parts = draw(st.lists(st.sampled_from(SEGMENTS), max_size=4))
    parts = [part for index, part in enumerate(parts) if not part.startswith("{") or part not in parts[:index]]
    text = "/" + "/".join(parts)
    if draw(st.integers(0, 5)) == 0:
        return text.rstrip("/") + "/{z...}"
    return text if "{" in text else draw(st.sampled_from(["", "="])) + text


@st.composite
def routes(draw):
    made = []
    for index in range(draw(st.integers(1, 8))):
        made.append(
            route(
                f"r{index}",
                *draw(st.lists(paths(), min_size=1, max_size=3)),
                priority=draw(st.sampled_from([0, 0, 0, 1, -1])),
                enabled=draw(st.sampled_from([True, True, True, False])),
                hosts=draw(st.lists(st.sampled_from(["a.test", "*.test", "*.a.test", "b.test"]), max_size=2)),
                methods=draw(st.lists(st.sampled_from(["GET", "POST"]), max_size=2)),
                headers=draw(st.dictionaries(st.just("X-A"), st.sampled_from(["", "1", "~^2"]), max_size=1)),
                clients=draw(st.lists(st.just("10.0.0.0/8"), max_size=1)),
            )
        )
    return made


@st.composite
def requests(draw):
    path = "/" + "/".join(draw(st.lists(st.sampled_from(["a", "b", "c", "d%2F", "%C3%A9", ""]), max_size=4)))
    host = draw(st.sampled_from(["a.test", "x.a.test", "x.y.a.test", "b.test", "other"]))
    headers = draw(st.sampled_from([[], [("X-A", "1")], [("X-A", "23")]]))
    return f"http://{host}{path}", draw(st.sampled_from(["GET", "HEAD", "POST"])), headers, draw(st.sampled_from(["10.0.0.1", "192.0.2.1"]))


def best(candidates, exchange):
    """The documented order, word by word: returns the name and the captures of the winner."""
    fitting = []
    for made in candidates:
        if not made.enabled or not others_fit(made.match, exchange):
            continue
        for host in made.match.hosts or ("",):
            for pattern in made.match.paths:
                captures = fit(pattern, exchange.request.path)
                if captures is not None and host_fits(host, exchange.request.host):
                    rank = (-made.priority, host_rank(host), path_rank(pattern), -conditions(made.match), made.name)
                    fitting.append((rank, captures))
    return min(((rank[-1], captures, rank) for rank, captures in fitting), key=lambda item: item[2], default=(None, {}, None))[:2]


def host_fits(pattern, host):
    return pattern in ("", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def host_rank(pattern):
    return (2, 0) if not pattern else (1, -len(pattern.split("."))) if "*" in pattern else (0, 0)


def path_rank(pattern):
    if pattern.startswith("~"):
        literal = re.match(r"~\^((?:/[a-z]*)*)", pattern)
        literal = literal[1] if literal else ""
        return ["0"] * max(1, len(literal.split("/")) - 1) + ["1", -len(literal), -len(pattern)]
    exact, parts = pattern.startswith("="), pattern.removeprefix("=").split("/")
    if parts == ["", ""] and not exact:
        return ["4"]
    ranks = ["0" if not part.startswith("{") else "3" if part.endswith("...}") else "2" for part in parts]
    return ranks if exact or "{" in pattern else [*ranks, "4"]


def conditions(match):
    return len(match.headers) + len(match.query) + bool(match.methods) + bool(match.clients)


def fit(pattern, path):
    if pattern.startswith("~"):
        hit = re.search(pattern[1:], path)
        return None if hit is None else hit.groupdict()
    if pattern.startswith("="):
        return {} if path == pattern[1:] else None
    if "{" not in pattern:
        return {} if (path + "/").startswith(pattern.rstrip("/") + "/") else None
    captures = {}
    expression = re.sub(r"/\{(\w)\.\.\.\}", r"(?:/(?P<\1>.*))?", pattern)
    expression = re.sub(r"\{(\w)\}", r"(?P<\1>[^/]+)", expression)
    hit = re.fullmatch(expression, path)
    if hit is None:
        return None
    for name, value in hit.groupdict().items():
        captures[name] = (value or "") if name == "z" else unquote(value)
    return captures


def others_fit(match, exchange):
    method, value = exchange.request.method, exchange.request.headers.get("X-A")
    if match.methods and method not in match.methods and not (method == "HEAD" and "GET" in match.methods):
        return False
    for wanted in match.headers.values():
        if value is None or (wanted == "1" and value != "1") or (wanted == "~^2" and not value.startswith("2")):
            return False
    return not match.clients or exchange.client.startswith("10.")


@settings(max_examples=250, deadline=None)
@given(routes(), st.lists(requests(), min_size=1, max_size=6))
def test_finds_what_trying_every_route_finds(made, asked):
    compiled = router(*made)
    for url, method, headers, client in asked:
        exchange = request(url, method, headers, client)
        name, captures = best(made, exchange)
        assert compiled.find(exchange) == name
        assert exchange.captures == captures


@settings(max_examples=150, deadline=None)
@given(routes(), requests(), st.sampled_from(["path", "header", "query"]))
def test_a_version_makes_no_other_difference(made, asked, by):
    url, method, headers, client = asked
    plain = request(url, method, headers, client)
    name = router(*made).find(plain)
    shop = api("shop", versioning={"by": by, "versions": [{"name": "v1"}, {"name": "v2"}]})
    versioned = router(*(one.model_copy(update={"api": "shop"}) for one in made), apis=[shop])
    host, slash, path = url.removeprefix("http://").partition("/")
    url = {"path": f"http://{host}/v2{slash}{path}", "header": url, "query": f"{url}?X-API-Version=v2"}[by]
    exchange = request(url, method, [*headers, ("X-API-Version", "v2")], client)
    assert versioned.find(exchange) == name
    assert exchange.captures == plain.captures
    if name is not None:
        assert (exchange.version, exchange.request.path) == ("v2", plain.request.path)
    else:
        assert versioned.refusal(exchange).code == router(*made).refusal(plain).code


@settings(max_examples=100, deadline=None)
@given(routes(), requests())
def test_an_explanation_names_every_route_once_and_agrees_with_the_router(made, asked):
    url, method, headers, client = asked
    exchange = request(url, method, headers, client)
    compiled = router(*made)
    verdicts = explain(compiled, exchange)
    assert sorted(verdict.route.name for verdict in verdicts) == [one.name for one in made]
    chosen = [verdict.route.name for verdict in verdicts if verdict.verdict == "chosen"]
    assert chosen == [name for name in [compiled.find(exchange)] if name]
    assert all(verdict.reason.endswith(".") for verdict in verdicts)
