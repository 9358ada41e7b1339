"""Compile a configuration once, in a process of its own, and leave the result in the state directory.

``gateway proxy`` runs this before its first worker, and the master before a reload: a fresh interpreter sees plugins as they
are installed now. The candidate is only put in force by whoever started the check.
"""

import importlib
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import orjson

from gateway.agent.compiling import Compilation, about, listed
from gateway.agent.logs import log_to
from gateway.agent.state import StateDirectory, replace
from gateway.control import store
from gateway.control.problems import ConfigErrors

log = logging.getLogger("gateway.check")


def check(config: Path, state: StateDirectory, strict: bool) -> dict[str, Any]:
    """Compile, write the candidate when it is in order, and return a report. Raises OSError when it cannot be written."""
    compilation = Compilation(config, state, strict)
    report: dict[str, Any] = {"failed_plugins": compilation.registry.failed}
    try:
        compiled = compilation.run()
    except ConfigErrors as errors:
        served = about(compilation.document) if compilation.document["digest"] else {}
        return {**report, "ok": False, **compilation.findings(errors), "listeners": served.get("listeners", {}), "stored": bool(served)}
    store.write(state.candidate, compiled.document)
    found = about(compiled.document)
    return {
        **report,
        "ok": True,
        "problems": [],
        "warnings": listed(compilation.warnings),
        "listeners": found["listeners"],
        "revision": found["revision"],
        "digest": found["digest"],
    }


def main() -> int:
    """Check as the arguments say; the exit status is 0 when the configuration can be used."""
    arguments = orjson.loads(sys.argv[1])
    log_to(arguments["log_file"] and Path(arguments["log_file"]), arguments["log_level"])
    state = StateDirectory(Path(arguments["state"]))
    try:
        for module in arguments["modules"]:
            importlib.import_module(module)
        report = check(Path(arguments["config"]), state, arguments["strict"])
    except Exception as error:  # whoever waits for the report must learn of anything that goes wrong
        log.error("%s", traceback.format_exc())
        report = {"ok": False, "problems": [{"path": "", "message": f"{type(error).__name__}: {error}"}], "failed_plugins": {}}
    replace(state.check, orjson.dumps(report))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
