"""The management address: liveness, readiness, metrics, status and traces of the node, for people and machines.

Nothing can be changed here, a reload included: a page in an operator's browser can send requests to a loopback address,
so what acts is a signal (``gateway reload``). For the same reason a name in ``Host`` is refused when the address is a
loopback one, else a site could have its own name resolve to it and read along.
"""

import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import orjson
from gevent.pywsgi import WSGIServer

from gateway.agent.status import agent_metrics, readiness, status
from gateway.observe.metrics import render
from gateway.shared.arena import Arena

if TYPE_CHECKING:
    from gateway.agent.service import Agent

log = logging.getLogger("gateway.management")

JSON = "application/json"
METRICS = "text/plain; version=0.0.4; charset=utf-8"
_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS

Answer = tuple[str, str, bytes]


class Management:
    """A WSGI application that answers for one agent."""

    def __init__(self, agent: "Agent", arena: Arena, loopback: bool) -> None:
        self._agent = agent
        self._arena = arena
        self._loopback = loopback
        self._pages: dict[str, Callable[[], Answer]] = {
            "/": self._index,
            "/live": lambda: ("200 OK", JSON, b'{"live":true}\n'),
            "/ready": self._ready,
            "/metrics": self._metrics,
            "/status": lambda: _json(status(agent)),
            "/traces": self._traces,
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        code, kind, body = self._answer(environ)
        start_response(code, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _problem("405 Method Not Allowed", "only GET: what acts is a signal, see `gateway reload`")
        if self._loopback and not _is_address(environ.get("HTTP_HOST", "")):
            return _problem("421 Misdirected Request", "ask for the address itself, or localhost")
        path = environ["PATH_INFO"]
        page = self._pages.get(path)
        if page is not None:
            return page()
        if path.startswith("/traces/"):
            return self._trace(path.removeprefix("/traces/"))
        return _problem("404 Not Found", "there are " + ", ".join(sorted(self._pages)[1:]) + " and /traces/ID")

    def _index(self) -> Answer:
        return "200 OK", "text/plain; charset=utf-8", "".join(f"{path}\n" for path in sorted(self._pages)[1:]).encode()

    def _ready(self) -> Answer:
        reason = readiness(self._agent)
        return _json({"ready": not reason, "reason": reason}, "503 Service Unavailable" if reason else "200 OK")

    def _metrics(self) -> Answer:
        return "200 OK", METRICS, (render(self._arena) + agent_metrics(self._agent)).encode()

    def _traces(self) -> Answer:
        traces = reversed(self._agent.traces.values())
        return _json([{key: value for key, value in trace.items() if not isinstance(value, dict | list)} for trace in traces])

    def _trace(self, identifier: str) -> Answer:
        trace = self._agent.traces.get(identifier)
        return _problem("404 Not Found", "no such trace; the last 200 are kept") if trace is None else _json(trace)


def serve_management(agent: "Agent", arena: Arena, sock: socket.socket) -> WSGIServer:
    """Answer on a socket that the master has bound, so that no request is refused while one agent follows another."""
    loopback = ipaddress.ip_address(sock.getsockname()[0]).is_loopback
    server = WSGIServer(sock, Management(agent, arena, loopback), log=None, error_log=log)
    server.start()
    return server


def _is_address(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name in ("", "localhost")
    return True


def _json(content: Any, code: str = "200 OK") -> Answer:
    return code, JSON, orjson.dumps(content, option=_PRETTY, default=str) + b"\n"


def _problem(code: str, detail: str) -> Answer:
    return _json({"error": code, "detail": detail}, code)
