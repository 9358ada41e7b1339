"""``gateway proxy``: serve from a configuration file."""

from typing import Any

import click

from gateway.agent.settings import NodeSettings


def _option(name: str) -> Any:
    """Return the option that sets a field; its help is the field's description."""
    field = NodeSettings.model_fields[name]
    text = field.description or ""
    if field.default and not field.is_required() and field.default_factory is None:
        text += f" [default: {field.default}]"
    return click.option(f"--{name.replace('_', '-')}", name, required=field.is_required(), help=text, metavar="VALUE")


def _options(function: Any) -> Any:
    for name in reversed(NodeSettings.model_fields):
        function = _option(name)(function)
    return function


@click.command()
@_options
def command(**given: str | None) -> None:
    """Serve from a configuration file, with hot reload of what changes in it."""
    from pydantic import ValidationError

    from gateway.server.application import ProxyApplication, StartError

    try:
        settings = NodeSettings.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "\n".join(f"--{str(item['loc'][0]).replace('_', '-')}: {item['msg']}" for item in error.errors())
        raise click.UsageError(problems) from error
    application = ProxyApplication(settings)
    try:
        application.prepare()
    except StartError as error:
        for line in str(error).splitlines():
            click.echo(line, err=True)
        raise SystemExit(1) from error
    application.run()
