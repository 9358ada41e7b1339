"""Snapshot: a whole, validated configuration. Nothing in it changes after it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.model.consumer import Consumer
from gateway.model.listener import Certificate, Listener, Stream
from gateway.model.observe import Observe
from gateway.model.policy import Policy
from gateway.model.pool import Pool
from gateway.model.route import Api, Route


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Configuration by name. A delta makes a new one that shares everything unchanged."""

    revision: int = 0
    #: changes whenever anything in the configuration does
    digest: str = ""
    listeners: Mapping[str, Listener] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    apis: Mapping[str, Api] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    consumers: Mapping[str, Consumer] = field(default_factory=dict)
    #: plugin -> what its ``Credential.lookup`` returned -> (consumer, credential name, the plugin's stored fields)
    credentials: Mapping[str, Mapping[str, "Holder"]] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    observe: Observe = field(default_factory=Observe)


#: consumer, credential name, what the plugin stored beside it (``None`` when nothing)
Holder = tuple[Consumer, str, dict[str, object] | None]
