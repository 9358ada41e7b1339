import os
import stat

import orjson
import pytest

from gateway.control import store
from gateway.control.load import load, load_chunks
from gateway.control.store import Damaged
from tests.control.support import compiled, good


@pytest.fixture
def path(tmp_path):
    return tmp_path / "snapshot.json"


def many(count=1000):
    consumers = [{"name": f"c{n}", "credentials": [{"plugin": "key", "config": {"key": str(n)}}]} for n in range(count)]
    return compiled(good(consumers=consumers, observe={"tracing": {"one_in": 2}})).document


@pytest.mark.parametrize("document", [compiled().document, compiled({"version": 1}).document, many(64), many(65), many()])
def test_reads_what_was_written(path, document):
    store.write(path, document)
    assert store.read(path) == document


def test_the_file_is_one_json_object_for_this_user_only(path):
    document = many(200)
    store.write(path, document)
    found = orjson.loads(path.read_bytes())
    assert {key: value for key, value in found.items() if key not in ("format", "checksum")} == document
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_strange_names_and_values_survive(path):
    document = {**compiled().document, "consumers": {'a{"\n},': {"metadata": {"}": "{\n", "k": ":{"}}, "checksum": {"groups": ["x"]}}}
    store.write(path, document)
    assert store.read(path) == document


def test_reads_in_slices(path):
    store.write(path, many(5000))
    pauses = []
    snapshot = store.use(path, lambda chunks: load_chunks(chunks, lambda: pauses.append(1)))
    assert pauses and len(snapshot.consumers) == 5000


def test_what_is_read_in_parts_is_the_same_snapshot(path):
    document = many(300)
    store.write(path, document)
    made = store.use(path, load_chunks)
    whole = load(document)
    for kind in ("revision", "digest", "routes", "pools", "policies", "observe"):
        assert getattr(made, kind) == getattr(whole, kind)
    assert made.consumers.keys() == whole.consumers.keys()
    assert made.credentials["key"].keys() == whole.credentials["key"].keys()
    assert all(made.consumers[holder.name] is holder for holder, _, _ in made.credentials["key"].values())


@pytest.mark.parametrize(
    "damage",
    [
        lambda octets: octets[: len(octets) // 2],
        lambda octets: octets.replace(b"9001", b"9002"),
        lambda octets: b"",
        lambda octets: b"{}",
        lambda octets: b"\x00" * len(octets),
        lambda octets: octets.replace(b"},\n", b"", 1),
        lambda octets: b"}\n" + octets,
    ],
)
def test_notices_damage(path, damage):
    store.write(path, many(200))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Damaged):
        store.read(path)


def test_the_one_before_serves_when_the_last_is_damaged(path, caplog):
    store.write(path, compiled().document)
    store.write(path, many(5))
    path.write_bytes(path.read_bytes()[:-5])
    assert store.read(path) == compiled().document
    assert "the one before it is used" in caplog.text


def test_a_write_that_fails_leaves_the_file_as_it_was(path):
    store.write(path, compiled().document)
    with pytest.raises(TypeError):
        store.write(path, {**compiled().document, "routes": {"x": object()}})
    assert store.read(path) == compiled().document
    assert os.listdir(path.parent) == [path.name]


def test_another_format_is_not_guessed_at(path):
    store.write(path, {**compiled().document, "format": 99})
    with pytest.raises(Damaged, match="format"):
        store.read(path)


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        store.read(path)
