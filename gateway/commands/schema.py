"""``gateway schema``: the configuration's JSON Schema, for editors."""

import click


@click.command(name="schema")
@click.option("--markdown", is_flag=True, help="Write the reference of the configuration instead.")
def command(markdown: bool) -> None:
    """Print the JSON Schema of a configuration, settings of installed plugins included.

    For completion in an editor, save it and begin a YAML file with: # yaml-language-server: $schema=gateway.schema.json
    """
    if markdown:
        from gateway.control.reference import reference

        click.echo(reference(), nl=False)
        return
    import orjson

    from gateway.commands.check import installed
    from gateway.control.jsonschema import config_schema

    click.echo(orjson.dumps(config_schema(installed()), option=orjson.OPT_INDENT_2))
