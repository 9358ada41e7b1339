"""The root of a configuration file, version 1."""

from typing import Literal

from pydantic import Field

from gateway.model.base import Settings
from gateway.model.consumer import ConsumerSettings
from gateway.model.listener import Certificate, Listener, Stream
from gateway.model.observe import Observe
from gateway.model.policy import Policy
from gateway.model.pool import Pool
from gateway.model.route import Api, Route


class Config(Settings):
    """A whole configuration, as YAML, JSON and the REST API write it."""

    version: Literal[1] = Field(description="Version of this format")
    listeners: tuple[Listener, ...] = Field((), description="Addresses that clients connect to")
    pools: tuple[Pool, ...] = Field((), description="Backends")
    apis: tuple[Api, ...] = Field((), description="Products made of routes")
    routes: tuple[Route, ...] = Field((), description="Which requests go where")
    consumers: tuple[ConsumerSettings, ...] = Field((), description="Who calls, and how they are recognised")
    policies: tuple[Policy, ...] = Field((), description="Plugins on every exchange, in running order (gateway scope)")
    certificates: tuple[Certificate, ...] = Field((), description="Certificates of https listeners")
    streams: tuple[Stream, ...] = Field((), description="TCP and UDP routes")
    observe: Observe = Field(default_factory=Observe, description="What is recorded of the traffic")


#: Named objects, in the order in which a document lists them.
KINDS: dict[str, type[Settings]] = {
    "listeners": Listener,
    "pools": Pool,
    "apis": Api,
    "routes": Route,
    "consumers": ConsumerSettings,
    "certificates": Certificate,
    "streams": Stream,
}
#: Parts without names, which change as a whole.
WHOLES = ("policies", "observe")
