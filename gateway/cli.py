"""The ``gateway`` command: one module of ``gateway.commands`` per subcommand.

A module is imported when its command runs (or ``--help`` lists it), so ``gateway check`` loads neither gevent nor
gunicorn. The module ``gateway/commands/check.py`` holds the subcommand ``check`` in the variable ``command``; adding
one needs no edit here.
"""

import pkgutil
from importlib import import_module

import click

from gateway import commands


class Subcommands(click.Group):
    """A group whose commands are the modules of ``gateway.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the modules, as commands write them."""
        return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of this name and return its command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{commands.__name__}.{cmd_name.replace('-', '_')}").command
        return command


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gateway")
def main() -> None:
    """A plugin-based API gateway and load balancer."""
