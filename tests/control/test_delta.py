import copy
import random

import pytest

from gateway.control import delta, load
from gateway.control.delta import difference, document_digest
from gateway.control.load import Mismatch
from tests.control.support import GOOD, compiled, good


def documents(after, before=GOOD):
    first = compiled(before)
    return first.document, compiled(after, first).document


def test_nothing_changed_is_an_empty_delta():
    old, new = documents(good())
    assert delta.is_empty(difference(old, new))


def test_names_what_is_new_different_and_gone():
    data = good(policies=[], observe={"tracing": {"one_in": 3}})
    data["routes"][0]["strip_path"] = True
    data["routes"][1]["name"] = "renamed"
    old, new = documents(data)
    change = difference(old, new)
    assert change["set"] == {"routes": {name: new["routes"][name] for name in ("users", "renamed")}}
    assert change["delete"] == {"routes": ["shop"]}
    assert change["policies"] == [] and change["observe"] == {"tracing": {"one_in": 3}}
    assert (change["from"], change["digest"], change["revision"]) == (old["digest"], new["digest"], 2)
    assert not delta.is_empty(change)


def test_lists_the_credentials_of_a_consumer_that_changed():
    data = good()
    data["consumers"][0]["groups"] = ["platinum"]
    old, new = documents(data)
    change = difference(old, new)
    assert list(change["set"]) == ["consumers"]
    assert [holder for holder, _, _ in change["credentials"]["key"]["set"].values()] == ["alice"]


def test_a_credential_that_changed_hands_is_set():
    data = good()
    first, second = data["consumers"]
    first["credentials"], second["credentials"] = second["credentials"], first["credentials"]
    old, new = documents(data)
    assert delta.apply(old, difference(old, new)) == new
    assert len(difference(old, new)["credentials"]["key"]["set"]) == 2


def test_applying_shares_what_did_not_change():
    data = good()
    data["routes"][0]["strip_path"] = True
    old, new = documents(data)
    made = delta.apply(old, difference(old, new))
    assert made == new
    assert made["routes"]["shop"] is old["routes"]["shop"]
    assert "strip_path" not in old["routes"]["users"]


def test_refuses_a_delta_that_starts_elsewhere_or_leads_elsewhere():
    old, new = documents(good(policies=[]))
    change = difference(old, new)
    with pytest.raises(Mismatch, match="this is"):
        delta.apply(new, change)
    with pytest.raises(Mismatch, match="should lead to"):
        delta.apply(old, {**change, "delete": {"routes": ["shop"]}})


def test_any_walk_of_changes_arrives_where_compiling_from_nothing_does():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    data = good()
    now = compiled(data)
    document = copy.deepcopy(now.document)
    snapshot = now.snapshot
    for step in range(60):
        data = copy.deepcopy(data)
        mutate(data, chance, step)
        before, now = now, compiled(data, now)
        change = difference(before.document, now.document)
        document = delta.apply(document, change)
        snapshot = load.apply(snapshot, change)
        assert document == now.document and document["digest"] == document_digest(document) == compiled(data).digest
        assert described(snapshot) == described(compiled(data, revision=now.revision).snapshot)


def mutate(data, chance, step):
    kind = chance.choice(["routes", "consumers", "policies", "pools"])
    if kind == "policies":
        data["policies"] = [{"plugin": "rates", "name": f"p{step}", "config": {"limits": [{"requests": step + 1, "per_s": 1}]}}]
    elif kind == "pools":
        data["pools"][0]["members"] = [{"address": f"127.0.0.1:{9000 + step}"}]
    elif data[kind] and chance.random() < 0.4:
        data[kind].pop(chance.randrange(len(data[kind])))
    elif kind == "routes":
        data["routes"].append({"name": f"r{step}", "match": {"paths": [f"/r{step}"]}, "pool": "users"})
    else:
        credentials = [{"plugin": "key", "config": {"key": f"{step}-{n}"}} for n in range(chance.randrange(3))]
        data["consumers"].append({"name": f"c{step}", "groups": [f"g{step % 3}"], "credentials": credentials})


def described(snapshot):
    """Return a snapshot as plain data, with consumers in full wherever they are."""
    consumers = {name: (c.name, c.groups, c.metadata, c.policies) for name, c in snapshot.consumers.items()}
    holders = {
        plugin: {key: (consumers[holder.name], snapshot.consumers[holder.name] is holder, *rest) for key, (holder, *rest) in table.items()}
        for plugin, table in snapshot.credentials.items()
    }
    rest = [getattr(snapshot, kind) for kind in ("revision", "digest", "listeners", "pools", "apis", "routes", "policies", "observe")]
    return consumers, holders, rest
