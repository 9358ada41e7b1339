from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from gateway_auth.key_auth import KeyAuth
from pydantic import ValidationError

from gateway.api import Consumer, Reject
from gateway.testing import make_exchange, make_plugin, make_snapshot

KEY = "alice-key-0123456789"
LATER = datetime.now(UTC) + timedelta(days=1)


def snapshot(*credentials, groups=("gold", "beta"), **consumers):
    people = [
        {"name": "alice", "groups": list(groups), "credentials": list(credentials) or [{"plugin": "key_auth", "config": {"key": KEY}}]}
    ]
    people += [{"name": name} for name in consumers]
    return make_snapshot({"consumers": people}, KeyAuth)


def ask(plugin, target="/", headers=(), known=None):
    exchange = make_exchange("GET", target, headers, snapshot=known or snapshot())
    answer = plugin.authenticate(exchange)
    if isinstance(answer, Consumer):
        exchange.consumer = answer
    return exchange, answer


def forwarded(plugin, target="/", headers=(), known=None):
    exchange, _ = ask(plugin, target, headers, known)
    plugin.transform_request(exchange)
    return exchange.request


class TestFinding:
    @pytest.mark.parametrize(
        ("config", "target", "headers"),
        [
            ({}, "/", {"X-API-Key": KEY}),
            ({}, "/", {"x-api-key": KEY}),
            ({"header": "Key"}, "/", {"key": KEY}),
            ({"header": "Authorization", "scheme": "Bearer"}, "/", {"Authorization": f"bearer  {KEY}"}),
            ({"header": None, "query": "api_key"}, f"/?a=b&api_key={KEY}&c", {}),
            (
                {"header": None, "query": "api_key"},
                "/?" + quote("api_key", safe="").replace("_", "%5F") + "=" + KEY.replace("-", "%2D"),
                {},
            ),
            ({"header": None, "cookie": "key"}, "/", {"Cookie": f"a=b; key={KEY}"}),
            ({"query": "key", "cookie": "key"}, f"/?key={KEY}", {"Cookie": "key=other-key-000"}),
        ],
    )
    def test_names_the_consumer(self, config, target, headers):
        exchange, answer = ask(make_plugin(KeyAuth, config), target, headers)
        assert answer.name == "alice"
        assert exchange.credential == "key_auth"

    @pytest.mark.parametrize("config", [{}, {"query": "key", "cookie": "key"}, {"header": "Authorization", "scheme": "Bearer"}])
    def test_has_no_opinion_without_a_key(self, config):
        headers = {"Cookie": "other=1", "Authorization": "Basic abc"}
        assert ask(make_plugin(KeyAuth, config), "/?monkey=1&keys=2", headers)[1] is None

    @pytest.mark.parametrize("key", ["wrong-key-00000", "", KEY + "x", KEY[:-1], f"{KEY}, {KEY}"])
    def test_refuses_an_unknown_key_with_a_challenge(self, key):
        plugin = make_plugin(KeyAuth, {"realm": "shop"})
        answer = ask(plugin, headers={"X-API-Key": key})[1]
        assert (answer.status, answer.code) == (401, "unknown_key")
        assert answer.headers.get("WWW-Authenticate") == 'ApiKey realm="shop"' == plugin.challenge

    def test_the_scheme_is_the_challenge(self):
        assert make_plugin(KeyAuth, {"header": "Authorization", "scheme": "Bearer"}).challenge == 'Bearer realm="gateway"'

    def test_two_keys_of_one_consumer_both_work_and_have_names(self):
        known = snapshot(
            {"plugin": "key_auth", "name": "old", "config": {"key": KEY}},
            {"plugin": "key_auth", "name": "new", "config": {"key": "another-key-1"}},
        )
        plugin = make_plugin(KeyAuth)
        assert ask(plugin, headers={"X-API-Key": KEY}, known=known)[0].credential == "old"
        assert ask(plugin, headers={"X-API-Key": "another-key-1"}, known=known)[0].credential == "new"

    def test_a_configuration_without_credentials_knows_nobody(self):
        known = make_snapshot({}, KeyAuth)
        assert ask(make_plugin(KeyAuth), headers={"X-API-Key": KEY}, known=known)[1].status == 401

    @pytest.mark.parametrize(("days", "code"), [(1, None), (-1, "expired_key")])
    def test_an_expired_key_is_refused(self, days, code):
        expires = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        known = snapshot({"plugin": "key_auth", "config": {"key": KEY, "expires": expires}})
        answer = ask(make_plugin(KeyAuth), headers={"X-API-Key": KEY}, known=known)[1]
        assert (answer.code if isinstance(answer, Reject) else None) == code

    def test_callers_without_a_key_may_be_somebody(self):
        known = snapshot(guest={})
        plugin = make_plugin(KeyAuth, {"anonymous": "guest"})
        assert ask(plugin, known=known)[1].name == "guest"
        assert ask(plugin, headers={"X-API-Key": "wrong-key-0000"}, known=known)[1].status == 401
        assert ask(plugin, known=snapshot())[1] is None  # no such consumer: nobody


class TestForwarding:
    def test_hides_the_key_in_the_header(self):
        assert "X-API-Key" not in forwarded(make_plugin(KeyAuth), headers={"X-API-Key": KEY}).headers

    def test_hides_the_key_in_the_query_and_leaves_the_rest_as_it_was(self):
        plugin = make_plugin(KeyAuth, {"query": "key"})
        assert forwarded(plugin, f"/?a=%20b&key={KEY}&monkey=1&%6Bey=2&c").query == "a=%20b&monkey=1&c"

    def test_hides_the_key_in_the_cookie_and_leaves_the_rest_as_it_was(self):
        plugin = make_plugin(KeyAuth, {"cookie": "key"})
        assert forwarded(plugin, headers={"Cookie": f"a=; key={KEY}; b=c=d; e"}).headers.get("Cookie") == "a=; b=c=d; e"
        assert "Cookie" not in forwarded(plugin, headers={"Cookie": f"key={KEY}"}).headers

    def test_leaves_another_scheme_alone(self):
        plugin = make_plugin(KeyAuth, {"header": "Authorization", "scheme": "Bearer"})
        assert forwarded(plugin, headers={"Authorization": "Basic abc"}).headers.get("Authorization") == "Basic abc"
        assert "Authorization" not in forwarded(plugin, headers={"Authorization": f"Bearer {KEY}"}).headers

    def test_keeps_the_key_when_told(self):
        assert forwarded(make_plugin(KeyAuth, {"hide": False}), headers={"X-API-Key": KEY}).headers.get("X-API-Key") == KEY

    def test_tells_the_backend_who_calls(self):
        headers = forwarded(make_plugin(KeyAuth), headers={"X-API-Key": KEY}).headers
        assert headers.get("X-Consumer-Name") == "alice"
        assert headers.get("X-Consumer-Groups") == "beta,gold"
        assert headers.get("X-Credential-Name") == "key_auth"

    @pytest.mark.parametrize("config", [{}, {"identity": False}])
    def test_removes_an_identity_that_the_client_made_up(self, config):
        lies = {
            "X-Consumer-Name": "root",
            "x-consumer-groups": "admin",
            "X-Credential-Name": "x",
            "X_Consumer_Name": "root",
            "x-credential_name": "x",
        }
        assert len(forwarded(make_plugin(KeyAuth, config), headers=lies).headers) == 0
        told = forwarded(make_plugin(KeyAuth, config), headers={**lies, "X-API-Key": KEY}, known=snapshot(groups=())).headers
        assert told.get("X-Consumer-Name") == (None if config else "alice")
        assert told.get("X-Consumer-Groups") is None


class TestSettings:
    @pytest.mark.parametrize(
        "config",
        [{"header": None}, {"header": None, "cookie": "a", "scheme": "Bearer"}, {"header": "a b"}, {"realm": 'a"b'}, {"colour": 1}],
    )
    def test_refuses_settings_that_mean_nothing(self, config):
        with pytest.raises(ValidationError):
            make_plugin(KeyAuth, config)

    @pytest.mark.parametrize(
        "credential", [{"key": "short"}, {"key": "with a space"}, {"key": "ümläut-key"}, {"key": KEY, "expires": "2031-01-01T00:00:00"}, {}]
    )
    def test_refuses_keys_that_cannot_work(self, credential):
        with pytest.raises(ValidationError):
            KeyAuth.Credential.model_validate(credential)

    def test_what_is_stored_has_no_secret_in_it(self):
        key, stored = KeyAuth.lookup(KeyAuth.Credential.model_validate({"key": KEY, "expires": LATER}))
        assert KEY not in key and len(key) == 48
        assert stored == {"expires": LATER.timestamp()}
        assert KEY not in repr(snapshot())

    def test_every_setting_is_described(self):
        for model in (KeyAuth.Config, KeyAuth.Credential):
            assert all(field.description for field in model.model_fields.values())


def test_a_gateway_lets_in_who_has_a_key_and_tells_the_backend(run_gateway, echo):
    credential = {"plugin": "key_auth", "config": {"key": "$env:ALICE_KEY"}}
    consumers = [{"name": "alice", "credentials": [credential]}]
    gateway = run_gateway(policies=[{"plugin": "key_auth"}], consumers=consumers, env={"ALICE_KEY": KEY})
    assert gateway.get("/").status == 401
    assert gateway.get("/", {"X-API-Key": "wrong-key-000"}).status == 401
    assert echo.requests == []  # what is refused never reaches a backend
    assert gateway.get("/", {"X-API-Key": KEY, "X-Consumer-Name": "root"}).status == 200
    assert echo.last.headers.get_all("X-Consumer-Name") == ["alice"]
    assert "X-API-Key" not in echo.last.headers
