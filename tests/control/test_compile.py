import pytest

from gateway.control.delta import document_digest
from tests.control.support import GOOD, REGISTRY, Key, compiled, good, problems, registry, route, warnings


def test_makes_a_document_of_entries_by_name_without_defaults():
    document = compiled().document
    assert document["revision"] == 1
    assert document["listeners"] == {"web": {"name": "web", "address": "127.0.0.1:8000"}}
    assert document["routes"]["shop"] == {"name": "shop", "match": {"paths": ["/shop"]}, "pool": "users", "api": "shop", "versions": ["v1"]}
    assert document["policies"] == [{"plugin": "rates", "config": {"limits": [{"requests": 5, "per_s": 1}]}}]


def test_keeps_credentials_as_lookup_keys_only():
    document = compiled().document
    assert document["consumers"]["alice"] == {"groups": ["gold"]}
    key, _ = Key.lookup(Key.Credential(key="alice's"))
    assert document["credentials"]["key"][key] == ["alice", "key", {"colour": "blue"}]
    assert "alice's" not in str(document)


def test_numbers_credentials_of_one_kind_unless_they_have_names():
    credentials = [{"plugin": "key", "config": {"key": k}, **more} for k, more in (("a", {}), ("b", {}), ("c", {"name": "laptop"}))]
    table = compiled(good(consumers=[{"name": "alice", "credentials": credentials}])).document["credentials"]["key"]
    assert [label for _, label, _ in table.values()] == ["key", "key-2", "laptop"]


def test_the_digest_is_that_of_the_entries_and_does_not_depend_on_their_order():
    first = compiled()
    again = compiled(good(routes=GOOD["routes"][::-1], consumers=GOOD["consumers"][::-1]))
    assert first.digest == again.digest == document_digest(first.document)


@pytest.mark.parametrize(
    "change",
    [
        {"policies": []},
        {"observe": {"tracing": {"one_in": 5}}},
        {"consumers": GOOD["consumers"][:1]},
        {"listeners": [{"name": "web", "address": "127.0.0.1:8001"}]},
        {"routes": [{**GOOD["routes"][0], "name": "others"}, GOOD["routes"][1]]},
    ],
)
def test_the_digest_changes_with_anything(change):
    assert compiled(good(**change)).digest != compiled().digest


def test_the_digest_changes_with_the_order_of_policies():
    one, two = {"plugin": "key"}, {"plugin": "odd"}
    assert compiled(good(policies=[one, two])).digest != compiled(good(policies=[two, one])).digest


def test_a_credential_changes_the_digest_without_being_in_the_entry():
    consumers = [{"name": "alice", "groups": ["gold"], "credentials": [{"plugin": "key", "config": {"key": "new"}}]}, GOOD["consumers"][1]]
    assert compiled(good(consumers=consumers)).digest != compiled().digest


def test_the_revision_grows_when_something_changed_and_only_then():
    first = compiled()
    same = compiled(good(), first)
    changed = compiled(good(policies=[]), same)
    assert (first.revision, same.revision, changed.revision) == (1, 1, 2)
    assert compiled(good(), revision=17).revision == 17
    assert first.numbered(9).document["revision"] == 9


def test_takes_unchanged_entries_over_as_they_are():
    first = compiled()
    data = good()
    data["routes"][0]["strip_path"] = True
    second = compiled(data, first)
    assert second.document["routes"]["shop"] is first.document["routes"]["shop"]
    assert second.document["consumers"]["alice"] is first.document["consumers"]["alice"]
    assert second.document["routes"]["users"]["strip_path"] is True
    assert second.document == {**compiled(data).document, "revision": 2}


def test_an_incremental_compile_gives_what_a_whole_one_gives():
    first = compiled()
    data = good()
    data["consumers"] = [
        {"name": "carol", "credentials": [{"plugin": "key", "config": {"key": "alice's"}}]},
        {**data["consumers"][1], "credentials": [{"plugin": "key", "config": {"key": "bob's second"}}]},
    ]
    assert compiled(data, first).document == {**compiled(data).document, "revision": 2}
    nobody = good(consumers=[])
    assert compiled(nobody, first).document == {**compiled(nobody).document, "revision": 2}


def test_finds_a_credential_that_an_unchanged_consumer_has():
    data = good()
    data["consumers"].append({"name": "mallory", "credentials": [{"plugin": "key", "config": {"key": "bob's"}}]})
    found = problems(data, previous=compiled())
    assert found == {"consumers[2].credentials[0]": "is the same as consumers[1].credentials[0], of consumer 'bob'"}


def test_true_and_one_are_different_values():
    first = compiled(route(priority=1))
    assert compiled(route(priority=True), first).document["routes"]["one"] is not first.document["routes"]["one"]


def test_judges_everything_anew_with_other_plugins():
    first = compiled()
    assert compiled(good(), first, registry=registry()).document["routes"]["users"] is not first.document["routes"]["users"]


def test_what_a_node_may_keep_is_judged_anew_for_a_check():
    broken = registry()
    broken.failed["maths"] = "gateway-maths 1.0: ImportError"
    data = route(policies=[{"plugin": "maths"}])
    kept = compiled(data, registry=broken, lenient=True)
    assert "routes[0].policies[0].plugin" in problems(data, registry=broken, previous=kept)


def test_keeps_the_warnings_of_unchanged_objects_at_their_new_place():
    first = compiled(good(pools=[*GOOD["pools"], {"name": "empty"}]))
    assert [problem.path for problem in first.warnings] == ["pools[1].members"]
    assert list(warnings(good(pools=[{"name": "empty"}, *GOOD["pools"]]), previous=first)) == ["pools[0].members"]


def test_a_file_that_changed_makes_another_entry(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    policies = [{"plugin": "rates", "config": {"limits": [{"requests": 5, "per_s": 1}], "shared_with": "$file:secret"}}]
    data = good(routes=[{**GOOD["routes"][0], "policies": policies}], policies=policies)
    first = compiled(data, base=tmp_path)
    again = compiled(data, first, base=tmp_path)
    assert again.digest == first.digest and again.document["routes"]["users"] is first.document["routes"]["users"]
    secret.write_text("two\n")
    second = compiled(data, again, base=tmp_path)
    assert second.digest != first.digest
    for before, after in (
        (first.snapshot.routes["users"].policies, second.snapshot.routes["users"].policies),
        (first.snapshot.policies, second.snapshot.policies),
    ):
        assert before != after and before[0].config == after[0].config == {**policies[0]["config"], "shared_with": f"$file:{secret}"}
    assert second.files == {str(secret)}


def test_a_note_that_looks_like_a_reference_is_a_note(tmp_path):
    (tmp_path / "secret").write_text("one")
    policies = [{"plugin": "rates", "config": {"limits": [{"requests": 5, "per_s": 1}], "shared_with": "$file:secret"}}]
    note = f"$file:{tmp_path}/secret"
    made = compiled(good(routes=[{**GOOD["routes"][0], "note": note, "policies": policies}]), base=tmp_path)
    assert made.snapshot.routes["users"].note == note


def test_a_credential_in_a_file_is_found_by_its_new_key_after_a_change(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("one")
    data = good(consumers=[{"name": "alice", "credentials": [{"plugin": "key", "config": {"key": f"$file:{secret}"}}]}])
    first = compiled(data)
    secret.write_text("two")
    second = compiled(data, first)
    assert list(second.document["credentials"]["key"]) == [Key.lookup(Key.Credential(key="two"))[0]]


def test_a_reference_that_cannot_be_resolved_is_an_error_that_names_it(monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    monkeypatch.setenv("HOLLOW", "")
    keys = ("$env:NOWHERE", "$env:HOLLOW", "$file:relative", "$file:/does/not/exist", "$redacted")
    consumers = [{"name": f"c{n}", "credentials": [{"plugin": "key", "config": {"key": key}}]} for n, key in enumerate(keys)]
    assert list(problems(good(consumers=consumers)).values()) == [
        "environment variable 'NOWHERE' is not set",
        "environment variable 'HOLLOW' is empty",
        "'$file:relative' should be absolute, such as $file:/etc/gateway/key",
        "file '/does/not/exist' cannot be read: No such file or directory",
        "a secret was left out here by an export; write the secret or a reference to it",
    ]


def test_resolves_references_before_a_plugin_looks_at_its_settings(monkeypatch):
    monkeypatch.setenv("LIMIT", "7")
    policy = {"plugin": "rates", "config": {"limits": [{"requests": "$env:LIMIT", "per_s": 1}]}}
    assert compiled(good(policies=[policy])).document["policies"] == [policy]
    monkeypatch.setenv("LIMIT", "0")
    assert problems(good(policies=[policy])) == {"policies[0].config.limits[0].requests": "should be at least 1"}


def test_a_policy_of_a_broken_plugin_is_an_error_and_a_warning_for_nodes():
    broken = registry()
    broken.failed["maths"] = "gateway-maths 1.0: ImportError: no module named numbers"
    data = route(policies=[{"plugin": "maths", "config": {"anything": [1]}}])
    path = "routes[0].policies[0].plugin"
    assert "is broken: gateway-maths 1.0: ImportError" in problems(data, registry=broken)[path]
    kept = compiled(data, registry=broken, lenient=True)
    assert kept.document["routes"]["one"]["policies"] == [{"plugin": "maths", "config": {"anything": [1]}}]
    assert [problem.path for problem in kept.warnings] == [path]


def test_other_mistakes_stay_errors_for_nodes():
    assert problems(route(policies=[{"plugin": "mathematics"}]), lenient=True) == {
        "routes[0].policies[0].plugin": "plugin 'mathematics' is not installed"
    }


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_refuses_what_is_no_mapping(data):
    from gateway.control.compile import compile_config
    from gateway.control.problems import ConfigErrors

    with pytest.raises(ConfigErrors, match="a configuration is a mapping"):
        compile_config(data, REGISTRY)


def test_never_raises_anything_but_config_errors_for_odd_shapes():
    odd = [None, 7, "text", [], [None], [7], ["text"], [[]], [{}], {}, {"name": 7}, [{"name": 7}], [{"name": ["x"]}]]
    inner = ["match", "policies", "credentials", "members", "versioning", "tls", "balancer", "compose", "when", "config", "health", "pool"]
    for kind in ("listeners", "pools", "apis", "routes", "consumers", "certificates", "streams", "policies", "observe"):
        for value in odd:
            try_compile({"version": 1, kind: value})
        for key in inner:
            for value in odd:
                try_compile({"version": 1, kind: [{"name": "x", "plugin": "key", key: value}]})


def try_compile(data):
    from gateway.control.problems import ConfigErrors

    try:
        compiled(data)
    except ConfigErrors as error:
        assert error.problems and str(error)
