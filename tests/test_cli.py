"""The command itself: subcommands are found, and load nothing before they run."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from gateway.cli import main


@pytest.fixture
def broken_plugin(tmp_path):
    """Environment in which a distribution is installed whose module cannot be imported."""
    (tmp_path / "acme_broken.py").write_text("raise RuntimeError('no database here')")
    folder = tmp_path / "acme_broken-2.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-broken\nVersion: 2.1\n")
    (folder / "entry_points.txt").write_text("[gateway.plugins]\nbroken = acme_broken:Broken\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def gateway(*arguments, env=None):
    return subprocess.run([sys.executable, "-m", "gateway", *arguments], capture_output=True, text=True, env=env, timeout=60)


def test_lists_its_subcommands():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert {"check", "plugin", "proxy"} <= {line.split()[0] for line in result.output.split("Commands:")[1].splitlines() if line.strip()}


@pytest.mark.parametrize("name", ["nothing", "__init__", "plugin_", "../check"])
def test_refuses_a_subcommand_that_is_none(name):
    result = CliRunner().invoke(main, [name])
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_says_its_version():
    assert "version" in CliRunner().invoke(main, ["--version"]).output


def test_plugin_list_shows_what_is_installed():
    done = gateway("plugin", "list")
    assert done.returncode == 0, done.stderr
    assert "key_auth" in done.stdout
    assert "round_robin" in done.stdout


def test_plugin_list_names_what_is_not_usable_and_lists_the_rest(broken_plugin):
    done = gateway("plugin", "list", env=broken_plugin)
    assert done.returncode == 1
    assert done.stderr == "broken: not usable: acme-broken 2.1: RuntimeError: no database here\n"
    assert "key_auth" in done.stdout


def test_plugin_list_as_json_has_schemas(broken_plugin):
    listed = json.loads(gateway("plugin", "list", "--json", env=broken_plugin).stdout)
    (found,) = [plugin for plugin in listed["plugins"] if plugin["name"] == "key_auth"]
    assert found["config"]["properties"]["header"]["description"]
    assert found["hooks"] == ["authenticate", "transform_request"]
    assert set(listed["failed"]) == {"broken"}
