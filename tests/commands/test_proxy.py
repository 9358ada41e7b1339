from pathlib import Path

from click.testing import CliRunner

from gateway.agent.settings import NodeSettings
from gateway.commands.proxy import command

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def test_every_setting_of_a_node_is_an_option_and_is_documented():
    text = OPERATIONS.read_text()
    shown = CliRunner().invoke(command, ["--help"]).output
    for name in NodeSettings.model_fields:
        option = f"--{name.replace('_', '-')}"
        assert option in shown
        assert f"`{option} " in text


def test_options_that_make_no_sense_are_refused_with_the_reason():
    result = CliRunner().invoke(command, ["--config", "x", "--workers", "0", "--management", "nowhere", "--drain", "soon"])
    assert result.exit_code == 2
    for option in ("--workers", "--management", "--drain"):
        assert f"{option}: " in result.output
