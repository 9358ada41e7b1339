"""Policy: a plugin switched on in a scope, with its settings."""

from typing import Any, Literal

from pydantic import Field

from gateway.model.base import Name, Referring, Settings

Scope = Literal["gateway", "api", "route", "consumer"]


class When(Settings):
    """Which exchanges a policy acts on; every condition given must hold, an empty one always does."""

    methods: tuple[str, ...] = Field((), description="Request methods, upper case")
    paths: tuple[str, ...] = Field((), description="Path patterns, written as in a route's match")
    headers: dict[str, str] = Field(
        default_factory=dict, description="Header name and its exact value, or ~regex; an empty value means present"
    )
    groups: tuple[Name, ...] = Field((), description="The consumer is in one of these groups (false before authentication)")
    unless: bool = Field(False, description="Turn the whole condition round")


class Policy(Referring):
    """A plugin with its settings in one scope: gateway, API, route or consumer.

    A policy of a narrower scope takes the place of a wider one with the same ``name``; policies of different names
    add up. To switch an inherited policy off, repeat its name with ``enabled: false``.
    """

    plugin: str = Field(min_length=1, description="Name of an installed plugin")
    name: Name | None = Field(None, description="What this use of the plugin is called; the plugin's name unless given")
    config: dict[str, Any] = Field(default_factory=dict, description="The plugin's own settings")
    enabled: bool = Field(True, description="Off: the policy does nothing, and hides an inherited one of the same name")
    enforce: bool = Field(True, description="Off: decide and count what would have been refused, but refuse nothing (shadow mode)")
    when: When | None = Field(None, description="Act only on exchanges that fit")

    @property
    def label(self) -> str:
        """The name that metrics, traces and merging use."""
        return self.name or self.plugin
