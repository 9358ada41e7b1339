"""``gateway plugin``: what is installed, and a start for a plugin of one's own."""

from pathlib import Path

import click


@click.group(name="plugin")
def command() -> None:
    """List plugins, or begin one."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def list_plugins(as_json: bool) -> None:
    """List installed plugins and balancers; exit with 1 when one of them is not usable."""
    import logging

    from gateway.hooks.manager import load_plugins

    logging.getLogger("gateway").addHandler(logging.NullHandler())  # what failed is listed below
    registry = load_plugins()
    catalogue = registry.catalogue()
    if as_json:
        import orjson

        found = [
            {"name": i.name, "kind": i.kind, "summary": i.summary, "distribution": i.distribution, "version": i.version,
             "hooks": i.hooks, "config": i.config_schema()} for i in catalogue
        ]  # fmt: skip
        click.echo(orjson.dumps({"plugins": found, "failed": registry.failed}, option=orjson.OPT_INDENT_2))
    else:
        width = max((len(info.name) for info in catalogue), default=0)
        for info in catalogue:
            acts = ", ".join(info.hooks) or info.kind
            click.echo(f"{info.name:{width}}  {info.summary}  [{acts}; {info.distribution} {info.version}]")
    for name, reason in registry.failed.items():
        click.echo(f"{name}: not usable: {reason}", err=True)
    if registry.failed:
        raise SystemExit(1)


@command.command()
@click.argument("name")
@click.option(
    "--directory", type=click.Path(file_okay=False, path_type=Path), help="Where to write it; a new directory named after it, unless given."
)
def new(name: str, directory: Path | None) -> None:
    """Write a complete distribution with a plugin called NAME: code, tests, packaging, README."""
    from gateway.scaffold import ScaffoldError, write_plugin

    try:
        written = write_plugin(name, directory)
    except ScaffoldError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Wrote {written}. Next:\n  cd {written}\n  pip install -e .\n  pytest\n  gateway plugin list")
