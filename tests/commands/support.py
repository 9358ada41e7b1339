"""Runs the real command, as somebody at a terminal would."""

import subprocess
import sys


def gateway(*arguments, text=None, cwd=None, env=None):
    """Return exit status and output of ``gateway ARGUMENTS``; whatever it says on stderr is part of the failure."""
    command = [sys.executable, "-X", "importtime", "-m", "gateway", *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, cwd=cwd, env=env)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    errors = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("import time:"))
    return Done(done.returncode, done.stdout, errors, imported)


class Done:
    def __init__(self, status, output, errors, imported):
        self.status, self.output, self.errors, self.imported = status, output, errors, imported

    @property
    def lines(self):
        return self.output.splitlines()
