"""Plain calls: a plugin instance and exchanges without a server.

Part of the plugin author's kit; import it from ``gateway.testing``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from gateway.control.compile import compile_config
from gateway.hooks.manager import Registry
from gateway.hooks.plugin import Plugin, PolicyInfo
from gateway.http.headers import Headers
from gateway.http.message import Body, Request, Response
from gateway.model.consumer import Consumer
from gateway.model.exchange import Exchange
from gateway.model.references import resolve_all
from gateway.model.route import Route
from gateway.model.snapshot import Snapshot
from gateway.shared.arena import Arena
from gateway.shared.table import SharedTable

P = TypeVar("P", bound=Plugin)


class LoneWorker:
    """What a plugin may use of its worker, without a server: shared tables are real, ``spawn`` runs the function at once."""

    index, count = 0, 1

    def __init__(self, arena: Arena | None = None) -> None:
        self.log = logging.getLogger("gateway.testing")
        #: the configuration in force; assign another
        self.configuration = Snapshot()
        self._arena = arena or Arena(1 << 26)
        self._tables: dict[tuple[str, int], SharedTable] = {}

    def table(self, name: str, values: int = 2) -> SharedTable:
        """Return the table of this name and width."""
        if (name, values) not in self._tables:
            self._tables[name, values] = SharedTable(self._arena, name, values, rows=4096)
        return self._tables[name, values]

    def spawn(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run the function now."""
        return function(*arguments)

    def snapshot(self) -> Snapshot:
        """Return the configuration in force."""
        return self.configuration


def make_plugin(
    plugin: type[P],
    config: Mapping[str, Any] | None = None,
    *,
    worker: LoneWorker | None = None,
    name: str | None = None,
    enforce: bool = True,
) -> P:
    """Return an instance as a gateway would make it: class and settings checked, ``start`` called.

    Raises PluginError or pydantic's ValidationError.
    """
    registry = Registry()
    registry.add(plugin, "under test", "0")
    settings = plugin.Config.model_validate(resolve_all(dict(config or {})))
    instance = plugin(settings, PolicyInfo(plugin.name, name or plugin.name, enforce=enforce))
    for found in registry.implementations[plugin.name]:
        if found.hook == "start":
            getattr(instance, found.attribute)(*[worker or LoneWorker()] if found.arguments is None else [])
    return instance


def make_exchange(
    method: str = "GET",
    target: str = "/",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    content: bytes | Body | None = None,
    *,
    client: str = "192.0.2.1",
    host: str = "test.example",
    scheme: str = "http",
    consumer: Consumer | None = None,
    captures: Mapping[str, str] | None = None,
    snapshot: Snapshot | None = None,
    response: Response | None = None,
) -> Exchange:
    """Return an exchange as a hook would meet it; with a ``response``, as ``transform_response`` would."""
    path, _, query = target.partition("?")
    fields = Headers.of(headers.items() if isinstance(headers, Mapping) else headers)
    length = len(content) if isinstance(content, bytes) else None
    request = Request(
        method, path, query=query, scheme=scheme, host=host, headers=fields, body=content, content_length=length, target=target.encode()
    )
    exchange = Exchange(request, client, time.monotonic())
    exchange.id = "0123456789abcdef"
    exchange.listener = "web"
    exchange.consumer = consumer
    exchange.captures = dict(captures or {})
    exchange.snapshot = snapshot or Snapshot()
    exchange.route = Route(name="test")
    exchange.response = response
    return exchange


def make_snapshot(configuration: Mapping[str, Any], *plugins: type[Plugin]) -> Snapshot:
    """Compile a configuration that may use these plugins. Raises ConfigErrors."""
    registry = Registry()
    for plugin in plugins:
        registry.add(plugin, "under test", "0")
    return compile_config({"version": 1, **configuration}, registry).snapshot
