import gc

import pytest

from gateway.control.delta import difference
from gateway.control.load import Mismatch, apply, load
from gateway.control.slices import uncollected
from tests.control.support import GOOD, Key, compiled, good


def test_a_snapshot_has_models_and_light_consumers():
    snapshot = load(compiled().document)
    assert snapshot.routes["users"].policies[0].plugin == "key"
    assert snapshot.pools["users"].members[0].address == "127.0.0.1:9001"
    assert snapshot.policies[0].label == "rates"
    alice = snapshot.consumers["alice"]
    assert (alice.name, alice.groups, alice.metadata, alice.policies) == ("alice", frozenset({"gold"}), None, ())
    key, _ = Key.lookup(Key.Credential(key="alice's"))
    assert snapshot.credentials["key"][key] == (alice, "key", {"colour": "blue"})


def test_consumers_of_the_same_groups_share_them():
    snapshot = load(compiled().document)
    assert snapshot.consumers["alice"].groups is snapshot.consumers["bob"].groups


def test_a_delta_shares_everything_that_it_does_not_mention():
    first = compiled()
    data = good()
    data["routes"][0]["strip_path"] = True
    data["consumers"][0]["groups"] = ["platinum"]
    before = first.snapshot
    after = apply(before, difference(first.document, compiled(data, first).document))
    assert after.routes["users"].strip_path and not before.routes["users"].strip_path
    assert after.routes["shop"] is before.routes["shop"]
    assert after.pools is before.pools
    assert after.consumers["bob"] is before.consumers["bob"]
    holders = {holder.name: holder for holder, _, _ in after.credentials["key"].values()}
    assert holders == {"alice": after.consumers["alice"], "bob": before.consumers["bob"]}


def test_a_delta_for_another_snapshot_is_refused():
    first = compiled()
    change = difference(first.document, compiled(good(policies=[]), first).document)
    with pytest.raises(Mismatch):
        apply(load(compiled(good(consumers=[])).document), change)


def test_loading_the_whole_keeps_known_objects_that_are_the_same():
    before = compiled().snapshot
    data = good()
    data["routes"][0]["strip_path"] = True
    after = load(compiled(data).document, known=before)
    assert after.routes["shop"] is before.routes["shop"]
    assert after.consumers["alice"] is before.consumers["alice"]
    assert after.routes["users"] is not before.routes["users"]


def test_pauses_between_slices():
    consumers = [{"name": f"c{n}", "credentials": [{"plugin": "key", "config": {"key": str(n)}}]} for n in range(3000)]
    document = compiled(good(consumers=consumers)).document
    pauses = []
    load(document, lambda: pauses.append(gc.isenabled()))
    assert len(pauses) > 1
    assert not any(pauses)  # a collection between two slices would stall what runs there


@pytest.mark.parametrize("document", [{}, {"revision": 1}, {"revision": 1, "digest": "", "routes": {"x": {"name": "x", "colour": "red"}}}])
def test_refuses_what_is_no_document(document):
    with pytest.raises((KeyError, ValueError)):
        load(document)


def test_the_collector_is_as_it_was_afterwards():
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    try:
        load(compiled(GOOD).document)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_much_that_was_made_is_hidden_from_the_collector():
    before = gc.get_freeze_count()
    with uncollected():
        kept = [[] for _ in range(30_000)]
    try:
        assert gc.get_freeze_count() - before >= len(kept)
    finally:
        gc.unfreeze()
