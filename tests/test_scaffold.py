"""``gateway plugin new``: what it writes works at once."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.scaffold import ScaffoldError, write_plugin


def run(*command, env, cwd=None):
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=110)


def test_the_distribution_installs_is_listed_and_passes_its_own_tests(tmp_path):
    result = CliRunner().invoke(main, ["plugin", "new", "user_agent", "--directory", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    site = tmp_path / "site"
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", site)
    installed = run(sys.executable, "-m", "pip", "install", "-q", *offline, tmp_path / "new", env={**os.environ})
    assert installed.returncode == 0, installed.stderr

    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])}
    listed = run(sys.executable, "-m", "gateway", "plugin", "list", env=env, cwd=tmp_path)
    assert "user_agent" in listed.stdout
    assert "[authorize, transform_request; gateway-user-agent 0.1.0]" in listed.stdout

    tests = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", env=env, cwd=tmp_path / "new")
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "5 passed" in tests.stdout


def test_writes_every_file_of_a_distribution(tmp_path):
    written = write_plugin("key-check", tmp_path / "there")
    files = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert files == {
        ".gitignore", "README.md", "pyproject.toml", "setup.cfg",
        "gateway_key_check/__init__.py", "gateway_key_check/key_check.py", "gateway_key_check/py.typed", "tests/test_key_check.py",
    }  # fmt: skip
    assert "class KeyCheck(Plugin):" in (written / "gateway_key_check/key_check.py").read_text()
    assert not any("$" in path.read_text().replace("$ ", "") for path in written.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["", "Upper", "9lives", "a__b", "_a", "a.b", "../a", "a" * 65])
def test_refuses_a_name_that_is_none(tmp_path, name):
    with pytest.raises(ScaffoldError, match="not a plugin name"):
        write_plugin(name, tmp_path / "x")


def test_never_writes_over_anything(tmp_path):
    (tmp_path / "kept").write_text("mine")
    result = CliRunner().invoke(main, ["plugin", "new", "one", "--directory", str(tmp_path)])
    assert result.exit_code == 1
    assert "not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
