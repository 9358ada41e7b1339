import json
from pathlib import Path

from tests.commands.support import gateway


def test_writes_a_schema_that_knows_installed_plugins():
    schema = json.loads(gateway("schema").output)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "key_auth" in schema["$defs"]["Policy"]["properties"]["plugin"]["enum"]


def test_writes_the_reference():
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert gateway("schema", "--markdown").output == page.read_text()
