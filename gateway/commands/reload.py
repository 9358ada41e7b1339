"""``gateway reload``: start new workers with the plugins that are installed now."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import click

#: how long before a gateway that says nothing is given up on
PATIENCE_S = 600.0
LOOK_S = 0.05


@click.command()
@click.option("--state", type=click.Path(path_type=Path), default="var", help="State directory of the gateway [default: var]")
@click.option("--upgrade", is_flag=True, help="Replace the master's program too, after the gateway itself was upgraded.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the outcome.")
def command(state: Path, upgrade: bool, no_wait: bool) -> None:
    """Check the configuration and the plugins as installed now, and start new workers if they are in order.

    Exits with 0 when the new workers serve, with 1 when the old ones go on, and says why.
    """
    from gateway.agent.state import StateDirectory, read_json

    directory = StateDirectory(state)
    pid = directory.pid()
    if pid is None or not directory.in_use():
        raise click.ClickException(f"no gateway runs from the state directory {state}")
    before = int(read_json(directory.reload).get("number", 0))
    try:
        os.kill(pid, signal.SIGUSR2 if upgrade else signal.SIGHUP)
    except PermissionError as error:
        raise click.ClickException(f"this user may not signal the gateway (pid {pid})") from error
    if no_wait:
        return
    found = _outcome(directory, before, read_json)
    for plugin, reason in found.get("failed_plugins", {}).items():
        click.echo(f"{plugin} is not usable: {reason}", err=True)
    if found["state"] == "done":
        click.echo(f"{found['kind']} {found['number']} is done in {found['took_s']:.1f} s: new workers serve")
        return
    click.echo(f"{found['kind']} {found['number']} failed, the old workers go on: {found['reason']}", err=True)
    for problem in found["problems"]:
        place = f"{problem['file']}:{problem['line']}: " if problem.get("line") else ""
        click.echo(f"  {place}{problem['path'] or 'the configuration'}: {problem['message']}", err=True)
    raise SystemExit(1)


def _outcome(directory: Any, before: int, read_json: Any) -> dict[str, Any]:
    """Wait for the end of a reload that began after this command did."""
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        found: dict[str, Any] = read_json(directory.reload)
        if found.get("number", 0) > before and found["state"] in ("done", "failed"):
            return found
        if not directory.in_use():
            raise click.ClickException("the gateway ended meanwhile")
        time.sleep(LOOK_S)
    raise click.ClickException(f"no outcome after {PATIENCE_S:.0f} s; see /status")
