"""The agent's handle of the process that compiles."""

import socket
import subprocess
import sys
from typing import Any

import orjson

from gateway.agent import frames
from gateway.agent.frames import Message
from gateway.agent.settings import NodeSettings


class CompilerGone(Exception):
    """The process that compiles has ended; the text says how."""


class Compiler:
    """Starts the process when it is needed, and again after it died. One request at a time."""

    def __init__(self, settings: NodeSettings) -> None:
        self._arguments: dict[str, Any] = settings.model_dump(mode="json", include={"config", "state", "log_file", "log_level"})
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: Any = None

    def start(self) -> Message:
        """Start the process and return what is stored. Raises CompilerGone, OSError."""
        self.stop()
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = orjson.dumps({**self._arguments, "socket": theirs.fileno()}).decode()
            command = [sys.executable, "-P", "-m", "gateway.agent.compiling", arguments]
            self._sock = ours
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),))
        return self._answer()

    def compile(self) -> tuple[Message, bytes]:
        """Compile the configuration as it is now; return the answer, and the delta for workers when it is ``compiled``.

        ``kept`` is to be called then. Raises CompilerGone.
        """
        if self._process is None:
            raise CompilerGone("it was not started")
        try:
            self._sock.sendall(frames.encode({"type": "compile"}))
        except OSError as error:
            raise self._gone() from error
        answer = self._answer()
        if answer["type"] != "compiled":
            return answer, b""
        delta = frames.receive_body(self._sock)
        if delta is None:
            raise self._gone()
        return answer, bytes(delta)

    def kept(self) -> str:
        """Wait until what was compiled is on disk; return what went wrong with that. Raises CompilerGone."""
        return str(self._answer()["error"])

    def stop(self) -> None:
        """End the process, which notices that nobody talks to it any more; one that is busy is killed."""
        if self._process is None:
            return
        self._sock.close()
        self._process.kill()
        self._process.wait()
        self._process = None

    def _answer(self) -> Message:
        try:
            answer = frames.receive(self._sock)
        except (OSError, frames.FrameError) as error:
            raise self._gone() from error
        if answer is None:
            raise self._gone()
        return answer

    def _gone(self) -> CompilerGone:
        process = self._process
        assert process is not None
        self._sock.close()
        code = process.wait()
        self._process = None
        return CompilerGone(f"the process that compiles the configuration ended with {code}")
