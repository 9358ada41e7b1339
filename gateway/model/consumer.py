"""Consumers: who calls."""

from typing import Any

from pydantic import Field

from gateway.model.base import Name, Named, Settings
from gateway.model.policy import Policy


class Credential(Settings):
    """What a consumer shows to an authenticating plugin."""

    plugin: str = Field(min_length=1, description="The plugin that checks it")
    name: Name | None = Field(None, description="Which of several it is; shown in logs instead of the secret")
    config: dict[str, Any] = Field(default_factory=dict, description="The plugin's own fields, such as key")


class ConsumerSettings(Named):
    """A consumer as configured."""

    groups: tuple[Name, ...] = Field((), description="Groups that policies refer to")
    credentials: tuple[Credential, ...] = Field((), description="How the consumer is recognised")
    policies: tuple[Policy, ...] = Field((), description="Plugins on every exchange of this consumer, once it is known")
    metadata: dict[str, str] = Field(default_factory=dict, description="Anything that templates and rules may use")


class Consumer:
    """A consumer as plugins see it: light, because a worker may know hundreds of thousands."""

    __slots__ = ("name", "groups", "metadata", "policies")

    def __init__(
        self, name: str, groups: frozenset[str] = frozenset(), metadata: dict[str, str] | None = None, policies: tuple[Policy, ...] = ()
    ) -> None:
        self.name = name
        self.groups = groups
        self.metadata = metadata
        self.policies = policies

    def __repr__(self) -> str:
        return f"Consumer({self.name!r})"
