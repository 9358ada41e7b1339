"""A process that compiles: its own, so that the agent never waits for a parser, and plugins run in no process that matters.

``python -m gateway.agent.compiling`` is started by the agent with one end of a socket pair. It says what is stored (``stored``), then
answers each ``compile`` with ``compiled``, ``unchanged`` or ``refused``. After a ``compiled`` comes the delta as workers take it,
in a frame that the agent hands on without looking inside, and then, because a large document takes a while to reach the
disk, ``kept``. What was compiled is remembered, so that the next time only what differs is judged again. The process ends
when the agent does.
"""

import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from gateway.agent import frames
from gateway.agent.frames import Message
from gateway.agent.logs import log_to
from gateway.agent.state import StateDirectory
from gateway.control import store
from gateway.control.compile import Compiled, compile_config
from gateway.control.delta import difference
from gateway.control.problems import ConfigErrors, Problem
from gateway.control.source import Source, read_source
from gateway.hooks.manager import load_plugins
from gateway.model.references import references_in

Document = dict[str, Any]
_FILE = "$file:"

log = logging.getLogger("gateway.compile")


class Compilation:
    """One configuration file, compiled again and again."""

    def __init__(self, config: Path, state: StateDirectory, strict: bool = False) -> None:
        self.config = config
        self.registry = load_plugins()
        #: what is in force: the stored one, until ``accept``
        self.document: Document = stored(state)
        #: files that the configuration refers to, whether or not it was in order
        self.files: frozenset[str] = frozenset()
        self.warnings: list[Problem] = []
        self._lenient = not strict
        self._previous: Compiled | None = None

    def run(self) -> Compiled:
        """Compile the file as it is now. Raises ConfigErrors."""
        source = read_source(self.config)
        try:
            compiled = compile_config(source.data, self.registry, self._previous, lenient=self._lenient, base=source.base)
        except ConfigErrors as errors:
            self.files = source.files | _referred(source)
            raise ConfigErrors(source.placed(errors.problems), source.placed(errors.warnings)) from None
        self.files = compiled.files | source.files
        revision = self.document["revision"] + (compiled.digest != self.document["digest"])
        self._previous = compiled.numbered(revision)
        self.warnings = source.placed(compiled.warnings)
        return self._previous

    def findings(self, errors: ConfigErrors) -> Message:
        """Return what was wrong, as it is reported."""
        return {"problems": listed(errors.problems), "warnings": listed(errors.warnings), "failed_plugins": self.registry.failed}


def _referred(source: Source) -> frozenset[str]:
    """Return the files that a configuration refers to, in order or not: a missing one may be what is wrong with it."""
    found = (text.removeprefix(_FILE) for _, text in references_in(source.data) if text.startswith(_FILE))
    return frozenset(str(source.base.absolute() / path) for path in found)


def stored(state: StateDirectory) -> Document:
    """Return the last good document, or one that says there is none."""
    try:
        return store.read(state.snapshot)
    except FileNotFoundError:
        pass
    except (OSError, store.Damaged) as error:
        log.error("the last good configuration cannot be used: %s", error)
    return {"revision": 0, "digest": ""}


def listed(problems: list[Problem]) -> list[dict[str, Any]]:
    """Return problems as they travel between processes."""
    return [problem.as_json() for problem in problems]


def about(document: Document) -> Message:
    """Return what the agent wants to know of a document."""
    return {
        "revision": document["revision"],
        "digest": document["digest"],
        "listeners": document.get("listeners", {}),
        "pools": document.get("pools", {}),
    }


class CompileServer:
    """Answers the agent."""

    def __init__(self, sock: socket.socket, config: Path, state: StateDirectory) -> None:
        self._sock = sock
        self._state = state
        self._compilation = Compilation(config, state)

    def serve(self) -> None:
        """Answer until the agent closes its end."""
        self._send({"type": "stored", **about(self._compilation.document), "failed_plugins": self._compilation.registry.failed})
        while frames.receive(self._sock) is not None:
            self._compile()

    def _compile(self) -> None:
        began = time.perf_counter()
        compilation = self._compilation
        try:
            document = compilation.run().document
        except ConfigErrors as errors:
            self._send({"type": "refused", "files": sorted(compilation.files), **compilation.findings(errors)})
            return
        answer: Message = {"files": sorted(compilation.files), "warnings": listed(compilation.warnings)}
        before = compilation.document
        if before["digest"] == document["digest"]:
            self._send({"type": "unchanged", **answer})
            return
        delta = difference(before, document)
        compilation.document = document
        pools_changed = "pools" in delta["set"] or "pools" in delta["delete"]
        answer.update(about(document))
        if not pools_changed:
            del answer["pools"]
        took_ms = round((time.perf_counter() - began) * 1000, 1)
        self._send({"type": "compiled", "took_ms": took_ms, **answer})
        self._send({"type": "delta", **delta})
        self._send({"type": "kept", "error": self._store(document)})

    def _store(self, document: Document) -> str:
        """Store the document and return what went wrong: a full disk must not keep a change from going live."""
        try:
            store.write(self._state.snapshot, document)
        except OSError as error:
            return f"the configuration is in force but could not be stored: {error}"
        return ""

    def _send(self, message: Message) -> None:
        self._sock.sendall(frames.encode(message))


def main() -> None:
    """Serve the agent whose end of the socket is named by the arguments."""
    arguments = orjson.loads(sys.argv[1])
    log_to(arguments["log_file"] and Path(arguments["log_file"]), arguments["log_level"])
    sock = socket.socket(fileno=arguments["socket"])
    sock.setblocking(True)  # the agent made it non-blocking, as gevent wants its sockets
    try:
        CompileServer(sock, Path(arguments["config"]), StateDirectory(Path(arguments["state"]))).serve()
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the agent has gone; nobody is left to tell


if __name__ == "__main__":
    main()
