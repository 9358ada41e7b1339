"""What the documents promise: configurations that are in order, and a plugin that does what is said of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.testing import make_exchange, make_plugin

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str, beginning: str, documents: list[Path]) -> list[tuple[str, str]]:
    """Return (name, text) of the code blocks that begin so."""
    found = []
    for document in documents:
        for kind, text in FENCE.findall(document.read_text()):
            if kind == language and text.startswith(beginning):
                found.append((f"{document.name}-{len(found)}", text))
    return found


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGURATIONS = blocks("yaml", "version: 1\n", DOCUMENTS)


@pytest.mark.parametrize("text", [text for _, text in CONFIGURATIONS], ids=[name for name, _ in CONFIGURATIONS])
def test_whole_configurations_in_documents_pass_the_check(tmp_path, text):
    (tmp_path / "gateway.yaml").write_text(text)
    assert_passes(tmp_path / "gateway.yaml")


def test_the_sample_configuration_passes_the_check():
    assert_passes(ROOT / "examples" / "sample.yaml")


def assert_passes(path):
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check", str(path)], capture_output=True, text=True, timeout=60, env={"ALICE_KEY": "alice-secret"}
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plugin_of_the_readme_refuses_what_it_says():
    ((_, text),) = blocks("python", '"""', [ROOT / "README.md"])
    assert len(text.splitlines()) <= 23, "it is said to have twenty lines"
    module: dict[str, type] = {"__name__": "user_agent"}
    exec(compile(text, "README.md", "exec"), module)
    plugin = make_plugin(module["UserAgent"], {"refuse": ["crawler"]})
    assert plugin.authorize(make_exchange(headers={"User-Agent": "Some-Crawler/1.0"})).status == 403
    assert plugin.authorize(make_exchange(headers={"User-Agent": "curl/8"})) is None
    assert plugin.authorize(make_exchange()) is None
