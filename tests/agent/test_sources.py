import os
import time
from pathlib import Path

import pytest

from gateway.agent.sources import PATIENCE_S, FileSource
from tests.server.running import eventually


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    path = tmp_path / "gateway.yaml"
    path.write_text("version: 1")
    _age(path)
    source = FileSource(path)
    assert source.changed(), "the first look is a change"
    return source


def _age(path: Path) -> None:
    """Make the file look as if it was written a while ago."""
    os.utime(path, (time.time() - 10, time.time() - 10))


def test_a_file_that_stays_is_no_change(source: FileSource):
    assert not source.changed()


def test_a_rename_onto_the_file_is_a_change_at_once(source: FileSource, tmp_path: Path):
    (tmp_path / "new").write_text("version: 1")
    _age(tmp_path / "new")
    (tmp_path / "new").replace(source.path)
    assert source.changed()
    assert not source.changed()


def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        _age(tmp_path / name)
    (tmp_path / "link").symlink_to("a")
    source = FileSource(tmp_path / "link")
    assert source.changed()
    (tmp_path / "other").symlink_to("b")
    (tmp_path / "other").replace(tmp_path / "link")
    assert source.changed()


def test_a_file_being_written_is_left_alone_until_it_is_quiet(source: FileSource):
    source.path.write_text("version: 1\nrou")
    assert not source.changed()
    pause = source.pause_s
    source.path.write_text("version: 1\nroutes: []\n")
    assert not source.changed()
    assert eventually(source.changed)
    assert source.pause_s > pause


def test_a_file_that_is_never_quiet_is_read_in_the_end(source: FileSource):
    began = time.monotonic()

    def written_again_and_changed() -> bool:
        source.path.write_text(f"version: 1 # {time.monotonic()}")
        return source.changed()

    eventually(written_again_and_changed)
    assert time.monotonic() - began >= PATIENCE_S


def test_a_file_that_is_gone_for_a_moment_is_waited_for(source: FileSource, tmp_path: Path):
    source.path.unlink()
    assert not source.changed()
    source.path.write_text("version: 1 # back")
    _age(source.path)
    assert source.changed()
    source.path.unlink()
    eventually(source.changed), "gone for good is a change too"


def test_files_that_the_configuration_refers_to_count(source: FileSource, tmp_path: Path):
    key = tmp_path / "key.pem"
    source.refer([key])
    assert not source.changed()
    key.write_text("secret")
    _age(key)
    assert source.changed()
    source.refer([])
    key.write_text("another")
    assert not source.changed()
