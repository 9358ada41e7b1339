"""The document on observability names everything there is."""

import json
import re
from pathlib import Path

import pytest

from gateway.model.observe import LOG_FIELDS, AccessLogSettings, Observe
from gateway.observe.families import FAMILIES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()


@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_every_metric_is_described_with_its_labels(name):
    (labels,) = [family.labels for family in FAMILIES if family.name == name]
    (row,) = [line for line in DOCUMENT.splitlines() if line.startswith("|") and f"`{name}`" in line]
    assert tuple(filter(None, row.split("|")[2].strip().split(", "))) == labels


@pytest.mark.parametrize("name", LOG_FIELDS)
def test_every_field_of_the_access_log_is_described(name):
    assert f"`{name}`" in DOCUMENT


def test_the_sample_line_has_the_default_fields():
    (line,) = re.findall(r'^\{"time".*\}$', DOCUMENT, re.MULTILINE)
    assert tuple(json.loads(line)) == AccessLogSettings().fields


def test_the_sample_settings_are_valid():
    import yaml

    (block,) = re.findall(r"```yaml\n(observe:.*?)```", DOCUMENT, re.DOTALL)
    Observe.model_validate(yaml.safe_load(block)["observe"])
