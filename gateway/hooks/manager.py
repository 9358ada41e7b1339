"""Find installed plugins, let pluggy judge them, and keep those that pass.

One broken distribution must never stop a worker: whatever goes wrong with it ends up in ``Registry.failed`` as one
line that names the distribution, with the traceback in the log, and the others load.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import pluggy
from pydantic import BaseModel

from gateway.hooks.order import EXCHANGE
from gateway.hooks.plugin import Balancer, Plugin
from gateway.hooks.specs import API, Hooks

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
GROUPS = {"gateway.plugins": Plugin, "gateway.balancers": Balancer}
ALL_HOOKS = ("start", "stop", *EXCHANGE)


class PluginError(Exception):
    """A plugin class cannot be used; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Implementation:
    """A hook method of a plugin class."""

    hook: str
    #: name of the method, which differs from the hook's with ``hookimpl(specname=...)``
    attribute: str
    #: -1 = tryfirst, 0, 1 = trylast
    rank: int
    #: positions of the hook's arguments that the method takes; ``None`` = all of them, in order
    arguments: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Info:
    """A catalogue entry."""

    name: str
    kind: str
    summary: str
    distribution: str
    version: str
    hooks: tuple[str, ...]
    plugin: type[Plugin] | type[Balancer] = field(repr=False)

    def config_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the settings."""
        return self.plugin.Config.model_json_schema()


def build_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows every hook and no plugin."""
    manager = pluggy.PluginManager("gateway")
    manager.add_hookspecs(Hooks)
    manager.check_pending()
    return manager


class Registry:
    """What is installed. Filled by ``load_plugins``; tests and tools ``add`` classes themselves."""

    def __init__(self) -> None:
        self.manager = build_manager()
        self.plugins: dict[str, type[Plugin]] = {}
        self.balancers: dict[str, type[Balancer]] = {}
        #: entry point -> why it is not usable, distribution included
        self.failed: dict[str, str] = {}
        #: distribution -> version, of all that have a plugin or a balancer
        self.distributions: dict[str, str] = {}
        #: plugin name -> its hook methods, in the order of ``ALL_HOOKS``
        self.implementations: dict[str, tuple[Implementation, ...]] = {}
        self._info: dict[tuple[str, str], Info] = {}

    def add(self, plugin: type[Plugin] | type[Balancer], distribution: str = "", version: str = "") -> None:
        """Check the class and take it in. Raises PluginError."""
        if not inspect.isclass(plugin) or not issubclass(plugin, (Plugin, Balancer)):
            raise PluginError(f"{plugin!r} is not a subclass of Plugin or Balancer")
        name = getattr(plugin, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise PluginError(f"the name of {plugin.__qualname__} is {name!r}, not a word of a-z, 0-9 and _")
        kind = "plugin" if issubclass(plugin, Plugin) else "balancer"
        if (kind, name) in self._info:
            raise PluginError(f"the name {name!r} is taken by {self._info[kind, name].distribution or 'another class'}")
        if plugin.api != API:
            remedy = "upgrade the gateway" if plugin.api > API else "upgrade the plugin"
            raise PluginError(f"written for version {plugin.api} of the hook contract, this gateway has {API}: {remedy}")
        if not inspect.isclass(plugin.Config) or not issubclass(plugin.Config, BaseModel):
            raise PluginError("Config is not a pydantic model")
        implementations: tuple[Implementation, ...] = ()
        if issubclass(plugin, Plugin):
            implementations = self._validate(plugin)
            self.plugins[name] = plugin
            self.implementations[name] = implementations
        else:
            self.balancers[name] = plugin
        summary = (inspect.cleandoc(plugin.__doc__ or "").splitlines() or [""])[0]
        hooks = tuple(implementation.hook for implementation in implementations)
        self._info[kind, name] = Info(name, kind, summary, distribution, version, hooks, plugin)

    def catalogue(self) -> list[Info]:
        """Return every usable plugin and balancer, by name."""
        return sorted(self._info.values(), key=lambda info: (info.name, info.kind))

    def _validate(self, plugin: type[Plugin]) -> tuple[Implementation, ...]:
        """Let pluggy check names and arguments; take the class out again when it objects."""
        methods = {hook: getattr(plugin, hook, None) for hook in ALL_HOOKS}
        forgotten = [hook for hook, method in methods.items() if inspect.isfunction(method) and not hasattr(method, "gateway_impl")]
        if forgotten:
            raise PluginError(f"method {forgotten[0]} is named like a hook but not marked @hookimpl")
        try:
            self.manager.register(plugin, name=plugin.name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(_one_line(error)) from error
        try:
            return tuple(self._implementations(plugin))
        except PluginError:
            self.manager.unregister(plugin)
            raise

    def _implementations(self, plugin: type[Plugin]) -> Iterable[Implementation]:
        attributes: dict[str, str] = {}
        for attribute in dir(plugin):
            if (options := self.manager.parse_hookimpl_opts(plugin, attribute)) is not None:
                hook = options.get("specname") or attribute
                if hook in attributes:
                    raise PluginError(f"{attributes[hook]} and {attribute} both implement {hook}")
                attributes[hook] = attribute
        found: dict[str, Implementation] = {}
        for caller in self.manager.get_hookcallers(plugin) or ():
            if not caller.has_spec():
                close = difflib.get_close_matches(caller.name, ALL_HOOKS, 1)
                raise PluginError(f"there is no hook {caller.name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
            method = next(impl for impl in caller.get_hookimpls() if impl.plugin is plugin)
            found[caller.name] = _implementation(caller, method, attributes[caller.name])
        return (found[hook] for hook in ALL_HOOKS if hook in found)


def load_plugins() -> Registry:
    """Load every entry point of the groups ``gateway.plugins`` and ``gateway.balancers``. Never raises."""
    registry = Registry()
    points = [point for group in GROUPS for point in metadata.entry_points(group=group)]
    # The gateway's own come first, then by distribution: who wins a contested name must not depend on the disk.
    points.sort(key=lambda point: (_distribution(point)[0] != "gateway", *_distribution(point), point.group, point.name))
    for point in points:
        distribution, version = _distribution(point)
        registry.distributions[distribution] = version
        try:
            plugin = point.load()
            if getattr(plugin, "name", None) != point.name:
                raise PluginError(f"its entry point is called {point.name!r}, the class {getattr(plugin, 'name', None)!r}")
            if inspect.isclass(plugin) and not issubclass(plugin, GROUPS[point.group]):
                raise PluginError(f"{point.value} in group {point.group} is not a {GROUPS[point.group].__name__}")
            registry.add(plugin, distribution, version)
        except (Exception, SystemExit) as error:  # SystemExit: a module may call sys.exit() while it is imported
            reason = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {_one_line(error)}"
            key = point.name if point.name not in registry.failed else f"{point.name} of {distribution}"
            registry.failed[key] = f"{distribution} {version}: {reason}"
            _log.warning("plugin %s of %s %s is not usable: %s", point.name, distribution, version, reason)
            _log.info("how plugin %s failed", point.name, exc_info=error)
    return registry


def _implementation(caller: pluggy.HookCaller, found: pluggy.HookImpl, attribute: str) -> Implementation:
    if found.wrapper or found.hookwrapper:
        raise PluginError(f"{caller.name} is declared a wrapper; hooks of the gateway cannot be wrapped")
    if inspect.iscoroutinefunction(found.function) or inspect.isgeneratorfunction(found.function):
        raise PluginError(f"{caller.name} is a coroutine or a generator; hooks are plain methods")
    assert caller.spec is not None
    wanted = tuple(caller.spec.argnames)
    taken = tuple(wanted.index(name) for name in found.argnames)
    rank = -1 if found.tryfirst else 1 if found.trylast else 0
    return Implementation(caller.name, attribute, rank, None if taken == tuple(range(len(wanted))) else taken)


def _distribution(point: metadata.EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("unknown", "0")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
