import pytest
from pydantic import BaseModel

from gateway.api import Plugin, Secret
from gateway.control import yamlfile
from gateway.control.export import REDACTED, normalised
from tests.control.support import GOOD, REGISTRY, compiled, good, problems, registry


class Unmarked(Plugin):
    """Forgot to say what is secret."""

    name = "unmarked"

    class Credential(BaseModel):
        password: str = ""
        rounds: int = 1

    @classmethod
    def lookup(cls, credential):
        return credential.password, None


class Vault(Plugin):
    """Has secrets in deep places."""

    name = "vault"

    class Config(Plugin.Config):
        class Entry(BaseModel):
            secret: Secret | None = None
            path: str = ""

        entries: dict[str, Entry] = {}
        more: list[Secret] = []
        either: Entry | str = ""


def test_writes_what_is_not_a_default_in_the_order_of_the_schema():
    data = good(version=1, listeners=[{"address": "127.0.0.1:8000", "name": "web", "protocol": "http", "tags": []}])
    written = normalised(data, REGISTRY)
    assert written["listeners"] == [{"name": "web", "address": "127.0.0.1:8000"}]
    assert list(written) == ["version", "listeners", "pools", "apis", "routes", "consumers", "policies"]


def test_what_is_written_without_secrets_means_the_same():
    data = good(consumers=[])
    assert compiled(yamlfile.parse(yamlfile.dump(normalised(data, REGISTRY)))).digest == compiled(data).digest


def test_secrets_become_a_mark_that_no_gateway_accepts():
    written = normalised(GOOD, REGISTRY)
    assert written["consumers"][0]["credentials"] == [{"plugin": "key", "config": {"key": REDACTED}}]
    assert "alice's" not in str(written)
    assert "a secret was left out here" in problems(written)["consumers[0].credentials[0].config.key"]


def test_references_stay(monkeypatch):
    monkeypatch.setenv("ALICE", "x")
    data = good(consumers=[{"name": "alice", "credentials": [{"plugin": "key", "config": {"key": "$env:ALICE"}}]}])
    assert normalised(data, REGISTRY)["consumers"][0]["credentials"][0]["config"] == {"key": "$env:ALICE"}


@pytest.mark.parametrize(
    ("config", "written"),
    [
        ({"entries": {"a": {"secret": "s3", "path": "/x"}}}, {"entries": {"a": {"secret": REDACTED, "path": "/x"}}}),
        ({"more": ["s3", "$env:X"]}, {"more": [REDACTED, "$env:X"]}),
        ({"either": {"secret": "s3"}}, {"either": {"secret": REDACTED}}),
        ({"either": "shown"}, {"either": "shown"}),
    ],
)
def test_finds_secrets_wherever_a_plugin_marks_them(config, written):
    data = good(policies=[{"plugin": "vault", "config": config}])
    assert normalised(data, registry(Vault))["policies"][0]["config"] == written


def test_shows_no_text_of_plugins_that_mark_nothing_or_are_not_installed():
    data = good(
        policies=[{"plugin": "gone", "config": {"a": ["s3", 5, {"b": "s3"}]}}],
        consumers=[{"name": "a", "credentials": [{"plugin": "unmarked", "config": {"password": "s3", "rounds": 3}}]}],
    )
    written = normalised(data, registry(Unmarked))
    assert written["policies"][0]["config"] == {"a": [REDACTED, 5, {"b": REDACTED}]}
    assert written["consumers"][0]["credentials"][0]["config"] == {"password": REDACTED, "rounds": 3}


def test_hides_keys_of_certificates_pools_and_traces():
    data = good(
        certificates=[{"name": "c", "certificate": "PEM", "key": "s3"}],
        pools=[{"name": "users", "tls": {"certificate": "PEM", "key": "s3", "ca": "PEM"}}],
        observe={"tracing": {"secret": "s3"}},
    )
    written = normalised(data, REGISTRY)
    assert "s3" not in str(written)
    assert written["certificates"][0] == {"name": "c", "certificate": "PEM", "key": REDACTED}
    assert written["pools"][0]["tls"]["ca"] == "PEM"
