import json

import pytest

from tests.commands.support import gateway

CONFIGURATION = """\
version: 1
listeners: [{name: web, address: "127.0.0.1:8000"}]
pools:
  - name: users
    members: [{address: "127.0.0.1:9001"}, {address: "127.0.0.1:9002", state: drain}]
apis:
  - name: shop
    policies: [{plugin: key_auth, when: {methods: [POST, PUT]}}]
routes:
  - name: user
    match: {hosts: [api.example.com], paths: ["/users/{id}"]}
    rewrite_path: /people/{id}
    pool: users
    api: shop
    policies:
      - {plugin: key_auth, name: mobile, config: {query: key}, enforce: false}
  - {name: everything, match: {paths: [/]}, pool: users}
  - {name: internal, match: {paths: [/users], clients: [10.0.0.0/8], headers: {X-Debug: ""}}, pool: users}
  - name: page
    match: {paths: ["/page/{id}"]}
    compose:
      parts: [{name: one, pool: users, path: "/one/{id}"}, {name: two, pool: users, required: false}]
consumers:
  - {name: alice, policies: [{plugin: key_auth, name: hers}]}
policies: [{plugin: key_auth}]
"""


@pytest.fixture
def explain(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIGURATION)

    def run(*arguments):
        return gateway("explain", *arguments, cwd=tmp_path)

    return run


def test_says_where_a_request_goes_and_what_happens_on_the_way(explain):
    done = explain("GET", "http://api.example.com/users/42")
    assert (done.status, done.errors) == (0, "")
    assert done.lines[:4] == [
        "route user: It fits by host api.example.com and path /users/{id}.",
        "  {id} is '42'",
        "  to pool users (round_robin): 127.0.0.1:9001, 127.0.0.1:9002 (drain)",
        "  with the path /people/{id}",
    ]
    assert "Policies, in running order:" in done.lines
    assert "  authenticate       key_auth  (api shop; when methods POST or PUT)" in done.lines
    assert "                     mobile  (route user; plugin key_auth; shadow mode: refuses nothing)" in done.lines
    assert any(line.startswith("  everything: It fits too, but") for line in done.lines)


def test_headers_and_client_count(explain):
    done = explain("GET", "/users/42", "-H", "X-Debug: yes", "--client", "10.1.2.3")
    assert done.lines[0].startswith("route internal:")
    assert "key_auth  (gateway)" in done.output


def test_adds_the_policies_of_a_consumer(explain):
    assert "hers  (consumer alice; plugin key_auth)" in explain("GET", "/", "--consumer", "alice").output
    done = explain("GET", "/", "--consumer", "nobody")
    assert done.status == 1 and "there is no consumer 'nobody'" in done.errors


def test_shows_the_parts_of_a_composition(explain):
    lines = explain("GET", "/page/7").lines
    assert "  part one: GET /one/{id} from pool users" in lines
    assert "  part two: GET the same path from pool users, may be missing" in lines


def test_fails_when_no_route_takes_the_request(explain, tmp_path):
    (tmp_path / "gateway.yaml").write_text(CONFIGURATION.replace("paths: [/]", "paths: [=/]"))
    done = explain("GET", "/nowhere", "--all")
    assert done.status == 1
    assert done.lines[0] == "No route takes it: 404 no_route."
    assert "  everything: Path /nowhere does not fit =/." in done.lines


def test_tells_programs_the_same(explain):
    report = json.loads(explain("POST", "http://api.example.com/users/42", "--json").output)
    assert (report["route"], report["pool"], report["captures"]) == ("user", "users", {"id": "42"})
    assert [policy["scope"] for policy in report["policies"]["authenticate"]] == ["api shop", "route user"]
    assert report["policies"]["authenticate"][1]["enforce"] is False
    assert {route["verdict"] for route in report["routes"]} == {"chosen", "outranked", "no_match"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("GET", "/a", "-H", "nonsense"), "is not NAME:VALUE"),
        (("GET", "/a", "--config", "none.yaml"), "cannot be read"),
        (("GET", "/a%zz"), "a client would get a 400"),
    ],
)
def test_says_what_is_wrong_with_the_question(explain, arguments, words):
    done = explain(*arguments)
    assert done.status == 1 and words in done.output + done.errors


def test_needs_neither_gevent_nor_gunicorn(explain):
    assert not {"gevent", "gunicorn", "requests"} & explain("GET", "/").imported
