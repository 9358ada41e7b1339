import json

import yaml

from tests.commands.support import gateway

CONFIGURATION = """\
version: 1
listeners: [{name: web, address: "127.0.0.1:8000", protocol: http}]
consumers:
  - {name: alice, credentials: [{plugin: key_auth, config: {key: "alice's own key"}}, {plugin: key_auth, config: {key: "$env:ALICE_KEY"}}]}
"""
WRITTEN = {
    "version": 1,
    "listeners": [{"name": "web", "address": "127.0.0.1:8000"}],
    "consumers": [
        {
            "name": "alice",
            "credentials": [
                {"plugin": "key_auth", "config": {"key": "$redacted"}},
                {"plugin": "key_auth", "config": {"key": "$env:ALICE_KEY"}},
            ],
        }
    ],
}


def export(tmp_path, text, *arguments):
    path = tmp_path / "gateway.yaml"
    path.write_text(text.replace("alice's own key", "alices-own-key"))
    return gateway("export", path, *arguments, env={"ALICE_KEY": "another-key", "PATH": ""})


def test_writes_the_shortest_form_without_secrets(tmp_path):
    done = export(tmp_path, CONFIGURATION)
    assert done.status == 0 and yaml.safe_load(done.output) == WRITTEN
    done = export(tmp_path, CONFIGURATION, "--format", "json")
    assert json.loads(done.output) == WRITTEN


def test_refuses_what_is_not_in_order(tmp_path):
    done = export(tmp_path, CONFIGURATION + "colour: red\n")
    assert (done.status, done.output) == (1, f"{tmp_path}/gateway.yaml:5:1: error: colour: unknown key\n")


def test_puts_a_directory_into_one_file(tmp_path):
    (tmp_path / "b.yaml").write_text("pools: [{name: users}]\n")
    (tmp_path / "a.yaml").write_text("version: 1\npools: [{name: orders}]\n")
    assert yaml.safe_load(gateway("export", tmp_path).output) == {"version": 1, "pools": [{"name": "orders"}, {"name": "users"}]}
