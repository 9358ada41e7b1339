import pytest

from gateway.control import store
from gateway.control.delta import difference
from gateway.control.watcher import Watcher
from tests.control.support import compiled, good


class Worker:
    """Puts snapshots in force, and hears what the watcher tells the agent."""

    def __init__(self):
        self.swapped, self.sent = [], []
        self.broken = False
        self.watcher = Watcher(self.swap, self.send)

    def swap(self, snapshot):
        if self.broken:
            raise RuntimeError("a plugin could not start")
        self.swapped.append(snapshot)

    def send(self, kind, **fields):
        self.sent.append((kind, fields))


@pytest.fixture
def worker():
    return Worker()


FIRST = compiled()
SECOND = compiled(good(policies=[]), FIRST)
THIRD = compiled(good(consumers=[]), SECOND)


def change(old, new):
    return {"type": "delta", **difference(old.document, new.document)}


def test_takes_a_whole_document_and_then_deltas(worker):
    worker.watcher.whole({"type": "snapshot", "document": FIRST.document})
    worker.watcher.delta(change(FIRST, SECOND))
    assert [snapshot.revision for snapshot in worker.swapped] == [1, 2]
    assert worker.watcher.snapshot is worker.swapped[-1]
    kinds = [(kind, fields["revision"], fields["digest"]) for kind, fields in worker.sent]
    assert kinds == [("applied", 1, FIRST.digest), ("applied", 2, SECOND.digest)]
    assert all(fields["took_ms"] > 0 for _, fields in worker.sent)


def test_asks_once_for_the_whole_when_a_delta_does_not_fit(worker):
    worker.watcher.whole({"document": FIRST.document})
    worker.sent.clear()
    worker.watcher.delta(change(SECOND, THIRD))
    worker.watcher.delta(change(SECOND, THIRD))
    ((kind, fields),) = worker.sent
    assert kind == "refused" and fields["wanted"] == "snapshot" and fields["revision"] == 1
    assert worker.watcher.snapshot.revision == 1
    worker.watcher.whole({"document": SECOND.document})
    worker.watcher.delta(change(SECOND, THIRD))
    assert worker.watcher.snapshot.digest == THIRD.digest


def test_keeps_what_is_in_force_when_the_new_one_cannot_be_put_there(worker, caplog):
    worker.watcher.whole({"document": FIRST.document})
    worker.broken = True
    worker.watcher.delta(change(FIRST, SECOND))
    assert worker.watcher.snapshot.revision == 1
    assert worker.sent[-1] == ("refused", {"revision": 1, "errors": ["RuntimeError: a plugin could not start"]})
    assert "revision 1 stays in force" in caplog.text
    worker.broken = False
    worker.watcher.delta(change(FIRST, SECOND))
    assert worker.watcher.snapshot.revision == 2


def test_keeps_what_is_in_force_when_the_document_is_none_of_ours(worker):
    worker.watcher.whole({"document": FIRST.document})
    worker.watcher.whole({"document": {"revision": 5, "digest": "x", "routes": {"a": {"colour": "red"}}}})
    kind, fields = worker.sent[-1]
    assert kind == "refused" and "colour" in fields["errors"][0]
    assert worker.watcher.snapshot.revision == 1


def test_says_applied_without_a_swap_when_it_has_it_already(worker):
    worker.watcher.whole({"document": FIRST.document})
    worker.watcher.whole({"document": FIRST.numbered(7).document})
    assert len(worker.swapped) == 1
    assert worker.sent[-1][1]["revision"] == 7


def test_starts_from_the_last_good_file(worker, tmp_path):
    path = tmp_path / "snapshot.json"
    assert not worker.watcher.start(path)
    assert worker.sent[-1][0] == "refused" and "FileNotFoundError" in worker.sent[-1][1]["errors"][0]
    store.write(path, FIRST.document)
    assert worker.watcher.start(path)
    assert worker.swapped[-1].digest == FIRST.digest


def test_reads_a_large_document_from_a_file(worker, tmp_path):
    store.write(tmp_path / "s.json", SECOND.document)
    worker.watcher.whole({"type": "snapshot", "path": str(tmp_path / "s.json")})
    assert worker.watcher.snapshot.digest == SECOND.digest


def test_an_empty_configuration_is_put_in_force_too(worker):
    worker.watcher.whole({"document": compiled({"version": 1}).document})
    assert len(worker.swapped) == 1
