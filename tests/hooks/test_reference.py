from pathlib import Path

from gateway.hooks.manager import ALL_HOOKS, build_manager
from gateway.hooks.reference import hook_reference

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"


def test_the_page_is_what_the_specifications_say():
    assert PAGE.read_text() == hook_reference(), "run: python -m gateway.hooks.reference > docs/hooks.md"


def test_every_hook_is_there_with_its_arguments():
    page = PAGE.read_text()
    hooks = build_manager().hook
    for name in ALL_HOOKS:
        (line,) = [line for line in page.splitlines() if line.startswith(f"def {name}(self")]
        assert [part.split(":")[0] for part in line.split("(", 1)[1].split(")")[0].split(", ")[1:]] == list(
            getattr(hooks, name).spec.argnames
        )


def test_hooks_are_in_running_order():
    headings = [line.strip("# `") for line in PAGE.read_text().splitlines() if line.startswith("### ")]
    assert headings == list(ALL_HOOKS)
