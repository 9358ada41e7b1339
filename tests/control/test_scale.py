"""What the size of a configuration may cost. Ratios and CPU times, because the machine may be busy with other things."""

import copy
from time import thread_time

import pytest

from gateway.control import load, store
from gateway.control.delta import difference
from tests.control.support import compiled, good

ROUTES, CONSUMERS = 2_000, 20_000
#: a worker's loop must not stand still for longer
SLICE_S = 0.02

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def data():
    return good(
        routes=[{"name": f"r{n}", "match": {"paths": [f"/r{n}"]}, "pool": "users", "policies": [{"plugin": "key"}]} for n in range(ROUTES)],
        consumers=[
            {"name": f"c{n}", "groups": ["gold"], "credentials": [{"plugin": "key", "config": {"key": str(n)}}]} for n in range(CONSUMERS)
        ],
    )


@pytest.fixture(scope="module")
def first(data):
    return compiled(data)


def timed(function, *arguments):
    started = thread_time()
    result = function(*arguments)
    return thread_time() - started, result


class Slices:
    def __init__(self):
        self.longest = 0.0
        self.since = thread_time()

    def pause(self):
        self.longest = max(self.longest, thread_time() - self.since)
        self.since = thread_time()


def test_a_change_costs_a_small_part_of_a_whole_compile(data):
    whole_s, first = timed(compiled, data)
    changed = copy.deepcopy(data)
    changed["routes"][7]["strip_path"] = True
    change_s, second = timed(compiled, changed, first)
    delta_s, change = timed(difference, first.document, second.document)
    assert list(change["set"]) == ["routes"] and list(change["set"]["routes"]) == ["r7"]
    assert change_s < whole_s / 5
    assert delta_s < whole_s / 10


def test_a_worker_loads_in_short_slices(first, tmp_path):
    path = tmp_path / "snapshot.json"
    store.write(path, first.document)
    slices = Slices()
    snapshot = store.use(path, lambda chunks: load.load_chunks(chunks, slices.pause))
    slices.pause()
    assert len(snapshot.consumers) == CONSUMERS
    assert slices.longest < SLICE_S


def test_a_worker_applies_a_change_at_once(data, first):
    changed = copy.deepcopy(data)
    changed["routes"][7]["strip_path"] = True
    changed["consumers"][7]["groups"] = ["platinum"]
    change = difference(first.document, compiled(changed, first).document)
    snapshot = first.snapshot
    slices = Slices()
    load.apply(snapshot, change, slices.pause)
    slices.pause()
    assert slices.longest < SLICE_S
