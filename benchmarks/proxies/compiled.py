"""The gateway with its hot path compiled by mypyc (``GATEWAY_COMPILE=1 pip install .``), in an environment of its own."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import output
from benchmarks.proxies.base import cache
from benchmarks.proxies.gateway import Gateway

ROOT = Path(__file__).resolve().parents[2]
#: The system's interpreter, where there is one that will do, is built with more care for speed than most.
SYSTEM = "/usr/bin/python3"
BUILD = ["setuptools>=77", "wheel", "mypy>=2.4,<2.5", "types-PyYAML", "types-requests"]


class CompiledGateway(Gateway):
    """The gateway of this repository, compiled."""

    name = "compiled"
    title = "this gateway, compiled"

    def python(self) -> str:
        """Return the interpreter of its environment."""
        return str(cache("compiled") / "bin" / "python")

    def missing(self) -> str:
        """Return what is not installed; empty when what is installed was made from this very tree."""
        stamp = cache("compiled") / "tree"
        return "" if stamp.exists() and stamp.read_text() == _digest() else "a compiled build of this tree (--install)"

    def install(self) -> None:
        """Compile this tree, which takes a minute or two, and install it with its plugins."""
        there = output(SYSTEM, "-c", "import sys, ensurepip; print(sys.version_info >= (3, 11))") == "True"
        subprocess.run([SYSTEM if there else sys.executable, "-m", "venv", "--clear", str(cache("compiled"))], check=True)
        pip = [self.python(), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        distributions = [str(ROOT), *(str(path.parent) for path in sorted(ROOT.glob("plugins/*/setup.cfg")))]
        subprocess.run([*pip, "--upgrade", "pip", *BUILD], check=True, stdout=sys.stderr)
        subprocess.run([*pip, "--no-build-isolation", *distributions], check=True, stdout=sys.stderr)
        again = [*pip, "--no-build-isolation", "--no-deps", "--force-reinstall", str(ROOT)]  # now that mypyc sees what it builds on
        subprocess.run(again, check=True, stdout=sys.stderr, env={**os.environ, "GATEWAY_COMPILE": "1"})
        (cache("compiled") / "tree").write_text(_digest())


def _digest() -> str:
    """Return a digest of everything that is installed."""
    digest = hashlib.sha256()
    for path in sorted([ROOT / "setup.py", ROOT / "setup.cfg", *ROOT.glob("gateway/**/*.py"), *ROOT.glob("plugins/*/gateway_*/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
