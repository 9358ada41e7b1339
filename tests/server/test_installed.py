import importlib
import sys
from pathlib import Path

import pytest

from gateway.server.installed import Installed


@pytest.fixture
def site_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(directory)])
    return directory


def test_finds_an_editable_installation_made_since(site_directory: Path, tmp_path: Path):
    installed = Installed([str(site_directory), str(tmp_path / "no such directory")])
    source = tmp_path / "source"
    source.mkdir()
    (source / "made_since.py").write_text("answer = 42")
    with pytest.raises(ImportError):
        importlib.import_module("made_since")
    (site_directory / "made_since.pth").write_text(f"{source}\n")
    installed.refresh()
    assert importlib.import_module("made_since").answer == 42


def test_reads_no_file_twice_unless_it_changed(site_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "pth_was_read", [], raising=False)
    (site_directory / "old.pth").write_text("import sys; sys.pth_was_read.append('old')\n")
    installed = Installed([str(site_directory)])
    (site_directory / "new.pth").write_text("import sys; sys.pth_was_read.append('new')\n")
    installed.refresh()
    installed.refresh()
    assert sys.pth_was_read == ["new"]


def test_finds_a_module_in_a_directory_that_was_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    later = tmp_path / "later"
    monkeypatch.setattr(sys, "path", [*sys.path, str(later)])
    with pytest.raises(ImportError):
        importlib.import_module("found_later")
    later.mkdir()
    (later / "found_later.py").write_text("")
    Installed([]).refresh()
    importlib.import_module("found_later")
