"""``gateway export``: the configuration in its shortest form, without secrets."""

import click


@click.command(name="export")
@click.argument("file")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="How to write it.")
def command(file: str, form: str) -> None:
    """Write the configuration FILE (or directory, or - for standard input) in its shortest form: defaults left out, files merged.

    References to secrets stay as they are. Secrets that are written out become $redacted, which no gateway accepts: put references there.
    """
    from gateway.commands.check import installed, show
    from gateway.control import yamlfile
    from gateway.control.compile import compile_config
    from gateway.control.export import normalised
    from gateway.control.problems import ConfigErrors
    from gateway.control.source import read_source

    registry = installed()
    try:
        source = read_source(file)
        try:
            compile_config(source.data, registry, lenient=True, base=source.base)
        except ConfigErrors as found:
            raise ConfigErrors(source.placed(found.problems)) from None
    except ConfigErrors as found:
        show(found.problems, "error", "red")
        raise SystemExit(1) from None
    written = normalised(source.data, registry)
    if form == "yaml":
        click.echo(yamlfile.dump(written), nl=False)
    else:
        import orjson

        click.echo(orjson.dumps(written, option=orjson.OPT_INDENT_2))
