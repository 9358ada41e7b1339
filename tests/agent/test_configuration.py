from pathlib import Path
from typing import Any

import orjson

from gateway.agent import configuration
from gateway.agent.configuration import Configuration


def compiled(revision: int, **more: Any) -> dict[str, Any]:
    rest = {"listeners": {}, "took_ms": 1.0, "warnings": []}
    return {"type": "compiled", "revision": revision, "digest": f"d{revision}", **rest, **more}


def started() -> Configuration:
    found = Configuration(Path("/state/snapshot.json"))
    found.take({"type": "stored", "revision": 1, "digest": "d1", "listeners": {}, "pools": {"a": {}}, "failed_plugins": {}})
    return found


def bodies(frames: bytes) -> list[Any]:
    found = []
    while frames:
        length = int.from_bytes(frames[:4], "big")
        body, frames = frames[4 : 4 + length], frames[4 + length :]
        found.append(body if not body.startswith(b"{") else orjson.loads(body))
    return found


def test_a_change_is_handed_on_without_being_looked_into():
    assert bodies(started().take(compiled(2), b"<delta>")) == [b"<delta>"]


def test_a_worker_gets_the_changes_it_missed():
    found = started()
    for revision in (2, 3, 4):
        found.take(compiled(revision), b"<%d>" % revision)
    assert bodies(found.catch_up("d2")) == [b"<3>", b"<4>"]
    assert found.catch_up("d4") == b""


def test_a_worker_with_something_unknown_is_sent_to_the_file():
    found = started()
    found.take(compiled(2), b"<2>")
    whole = {"type": "snapshot", "revision": 2, "digest": "d2", "path": "/state/snapshot.json"}
    assert bodies(found.catch_up("elsewhere")) == [whole]
    assert bodies(found.catch_up("")) == [whole]


def test_going_back_to_an_earlier_configuration_and_on_still_adds_up():
    found = started()
    found.take(compiled(2), b"<1-2>")
    found.take({**compiled(3), "digest": "d1"}, b"<2-1>")
    found.take({**compiled(4), "digest": "d9"}, b"<1-9>")
    assert bodies(found.catch_up("d2")) == [b"<2-1>", b"<1-9>"]
    assert bodies(found.catch_up("d1"))[-1] == b"<1-9>"


def test_only_so_many_changes_are_remembered():
    found = started()
    for revision in range(2, configuration.REMEMBERED + 4):
        found.take(compiled(revision), b"<>")
    assert bodies(found.catch_up("d1"))[0]["type"] == "snapshot"
    found.take(compiled(500), b"x" * (configuration.REMEMBERED_OCTETS + 1))
    assert bodies(found.catch_up(f"d{configuration.REMEMBERED + 3}"))[0]["type"] == "snapshot"


def test_a_refusal_keeps_what_is_in_force_and_is_forgotten_when_the_file_is_good_again():
    found = started()
    assert found.take({"type": "refused", "problems": [{"path": "a", "message": "b"}], "failed_plugins": {"x": "y"}}) == b""
    assert (found.revision, found.refusals, found.failed_plugins) == (1, 1, {"x": "y"})
    assert found.refused["problems"] == [{"path": "a", "message": "b"}]
    found.take({"type": "unchanged", "warnings": []})
    assert found.refused is None


def test_pools_stay_known_when_a_change_leaves_them_alone():
    found = started()
    found.take(compiled(2), b"<2>")
    assert found.pools == {"a": {}}
    found.take(compiled(3, pools={"b": {}}), b"<3>")
    assert found.pools == {"b": {}}
