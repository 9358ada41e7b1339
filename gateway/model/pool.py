"""Pool and members: where requests go, how their health is judged, what they may take."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.model.base import Name, Named, Referring, Seconds, Secret, Settings
from gateway.model.route import Retries, Timeouts

_ADDRESS = re.compile(r"unix:/.+|\[[0-9A-Fa-f:.]+\]:\d{1,5}|[A-Za-z0-9._-]+:\d{1,5}")


def check_address(value: str) -> str:
    """Accept ``host:port``, ``[ipv6]:port`` and ``unix:/path``; raise ValueError on anything else."""
    if not _ADDRESS.fullmatch(value):
        raise ValueError("an address is host:port, [ipv6]:port or unix:/path")
    if not value.startswith("unix:") and not 0 < int(value.rpartition(":")[2]) < 65536:
        raise ValueError("a port is 1 to 65535")
    return value


Address = Annotated[str, AfterValidator(check_address)]
State = Literal["ready", "drain", "maintenance"]
Status = Annotated[str, Field(pattern=r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?$")]


class Member(Settings):
    """One backend of a pool."""

    address: Address = Field(description="host:port, [ipv6]:port or unix:/path")
    weight: int = Field(1, ge=0, le=65535, description="Share of the traffic, relative to the others; 0 = no new requests")
    priority: int = Field(0, ge=0, le=1000, description="Members of a higher number serve only when no lower one can")
    state: State = Field("ready", description="drain: no new clients, finish what runs; maintenance: nothing at all")


class ActiveCheck(Settings):
    """Probes sent by the node's agent, from the moment the pool exists."""

    type: Literal["http", "tcp"] = Field("http", description="http: a GET with an expected status; tcp: a connection")
    path: str = Field("/", pattern=r"^/", description="Path of the probe")
    host: str | None = Field(None, description="Host header of the probe; the member's address unless given")
    interval_s: Seconds = Field(2, gt=0, description="Between two probes of a member")
    timeout_s: Seconds = Field(1, gt=0, description="For connection and answer together")
    healthy_after: int = Field(2, ge=1, le=100, description="Good probes in a row that make a member healthy")
    unhealthy_after: int = Field(3, ge=1, le=100, description="Bad probes in a row that make it unhealthy")
    statuses: tuple[Status | int, ...] = Field(("200-399",), description="Statuses that count as good")


class PassiveCheck(Settings):
    """Watching real traffic: a member that keeps failing is taken out for a while."""

    consecutive_failures: int = Field(5, ge=0, description="Failures in a row that eject a member (0 = never)")
    statuses: tuple[Status | int, ...] = Field(
        ("502-504",), description="Statuses that count as failures, beside connection errors and timeouts"
    )
    ejection_s: Seconds = Field(30, gt=0, description="First ejection; each further one lasts longer by this much, up to ten times")
    max_ejected_percent: float = Field(
        50, ge=0, le=100, description="Never eject more of the pool than this (one member may always go, unless it is the only one)"
    )


class Health(Settings):
    """How the health of members is judged."""

    active: ActiveCheck | None = Field(None, description="Probes; none = no probes")
    passive: PassiveCheck | None = Field(None, description="Watching traffic; none = not watched")


class UpstreamTls(Referring):
    """TLS towards members."""

    verify: bool = Field(True, description="Check the member's certificate and name; off only for tests")
    server_name: str | None = Field(None, description="Name in SNI and in the certificate; the address' host unless given")
    ca: str | None = Field(None, description="PEM of the trusted authorities, or $file:PATH; the system's unless given")
    certificate: str | None = Field(None, description="PEM of our client certificate, or $file:PATH")
    key: Secret | None = Field(None, description="PEM of its key, or $file:PATH")


class Limits(Settings):
    """What a pool may take."""

    max_in_flight: int = Field(0, ge=0, description="Exchanges at once per member and worker; 0 = no limit")
    max_queue: int = Field(1000, ge=0, description="Exchanges that may wait for a free member")
    queue_s: Seconds = Field(5, gt=0, description="Longest wait, then 503")
    idle_connections: int = Field(64, ge=0, le=100000, description="Connections kept open per member and worker")
    idle_s: Seconds = Field(55, gt=0, description="How long an unused connection is kept")


class BalancerChoice(Referring):
    """A balancer with settings."""

    plugin: str = Field(min_length=1, description="Name of an installed balancer")
    config: dict[str, Any] = Field(default_factory=dict, description="The balancer's own settings")


class Pool(Named):
    """Members that serve the same thing, and how to choose among them."""

    balancer: str | BalancerChoice = Field("round_robin", description="Name of a balancer, or {plugin, config}")
    members: tuple[Member, ...] = Field((), description="The backends")
    health: Health = Field(default_factory=Health, description="How health is judged")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long to wait")
    retries: Retries = Field(default_factory=Retries, description="When to try another member")
    limits: Limits = Field(default_factory=Limits, description="What the pool may take")
    tls: UpstreamTls | None = Field(None, description="Speak TLS to the members")

    @property
    def balancer_name(self) -> str:
        """Name of the balancer, however it was written."""
        return self.balancer if isinstance(self.balancer, str) else self.balancer.plugin


__all__ = [
    "ActiveCheck", "Address", "BalancerChoice", "Health", "Limits", "Member", "Name", "PassiveCheck", "Pool", "UpstreamTls",
]  # fmt: skip
