"""``gateway check``: say whether a configuration is in order."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.control.problems import Problem
    from gateway.hooks.manager import Registry


@click.command(name="check")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print the result for programs.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
def command(file: str, as_json: bool, strict: bool) -> None:
    """Check the configuration FILE (or directory, or - for standard input); print every error and exit with 1 if there is one.

    Plugins are checked as installed here; nothing is started and nothing is changed.
    """
    from gateway.control.problems import ConfigErrors, Problem
    from gateway.control.source import compile_file

    registry = installed()
    errors: list[Problem] = []
    summary = ""
    try:
        compiled = compile_file(file, registry)
        warnings = compiled.warnings
        summary = ", ".join(_counted(kind, len(entries)) for kind, entries in compiled.document.items() if kind in _SINGULAR and entries)
    except ConfigErrors as found:
        errors, warnings = found.problems, found.warnings
    warnings = [*warnings, *(Problem("", f"plugin {name!r} is installed but not usable: {why}") for name, why in registry.failed.items())]
    if as_json:
        import orjson

        report = {"ok": not errors, "errors": [p.as_json() for p in errors], "warnings": [p.as_json() for p in warnings]}
        click.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    else:
        show(errors, "error", "red")
        show(warnings, "warning", "yellow")
        if errors:
            click.echo(f"{file}: {_counted('errors', len(errors))}" + (f", {_counted('warnings', len(warnings))}" if warnings else ""))
        else:
            click.echo(click.style(f"{file} is in order", fg="green") + (f": {summary}" if summary else ""))
    if errors or (strict and warnings):
        raise SystemExit(1)


def installed() -> Registry:
    """Return the installed plugins. What is wrong with some of them is shown with the result, not logged with a traceback."""
    from gateway.hooks.manager import load_plugins

    logging.getLogger("gateway").addHandler(logging.NullHandler())
    return load_plugins()


def show(problems: Iterable[Problem], word: str, colour: str) -> None:
    """Print problems the way compilers do, so that editors can jump to them."""
    for problem in problems:
        place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
        click.echo(f"{place + ': ' if place else ''}{click.style(word, fg=colour)}: {problem}")


_SINGULAR = {
    "listeners": "listener",
    "pools": "pool",
    "apis": "API",
    "routes": "route",
    "consumers": "consumer",
    "certificates": "certificate",
    "streams": "stream",
    "policies": "gateway policy",
    "errors": "error",
    "warnings": "warning",
}


def _counted(kind: str, count: int) -> str:
    word = _SINGULAR[kind]
    return f"{count} {word if count == 1 else word.removesuffix('y') + 'ies' if word.endswith('y') else word + 's'}"
