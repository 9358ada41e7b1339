"""What a plugin is made of: the base classes, and the values that hooks take and return."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pluggy
from pydantic import BaseModel, ConfigDict

from gateway.http.message import Body, Response

if TYPE_CHECKING:
    from gateway.model.exchange import Exchange
    from gateway.model.pool import Member
    from gateway.model.snapshot import Snapshot
    from gateway.shared.table import SharedTable

hookimpl = pluggy.HookimplMarker("gateway")


class Reject(Response):
    """A refusal. ``code`` is a word for programs; ``detail`` goes to the log, not to the client.

    The body is a problem document (RFC 9457) with status, code and exchange id, unless ``body`` is set afterwards.
    """

    __slots__ = ("code", "detail")

    def __init__(self, status: int, code: str, detail: str = "", headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(status, headers)
        self.code = code
        self.detail = detail


class PolicyInfo:
    """Where an instance of a plugin acts. ``id`` is unique, and stays the same across configuration changes: key shared state by it."""

    __slots__ = ("id", "label", "plugin", "scope", "owner", "enforce")

    def __init__(self, plugin: str, label: str, scope: str = "gateway", owner: str = "", enforce: bool = True) -> None:
        self.plugin = plugin
        self.label = label
        self.scope = scope
        #: name of the route, API or consumer; empty in gateway scope
        self.owner = owner
        self.enforce = enforce
        self.id = f"{scope}/{owner}/{label}" if owner else f"{scope}/{label}"


class Worker(Protocol):
    """What a plugin may use of the worker it runs in."""

    #: 0 to ``count`` - 1; a replaced worker's successor has the same index
    index: int
    count: int
    log: logging.Logger

    def table(self, name: str, values: int = 2) -> SharedTable:
        """Return the table of this name, shared by all workers of the node and kept across reloads: key -> ``values`` numbers."""

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run the function in a greenlet of its own; what it raises is logged and counted against the plugin."""

    def snapshot(self) -> Snapshot:
        """Return the configuration in force."""


class Plugin:
    """A feature: one instance per policy, so settings and compiled forms live on ``self``.

    The docstring's first line is the catalogue text. Hook methods are marked ``@hookimpl``.
    """

    #: entry point in group ``gateway.plugins``, configuration key, metric label
    name: ClassVar[str]
    #: the hook contract this plugin was written for
    api: ClassVar[int] = 1

    class Config(BaseModel):
        """Settings of one policy."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    #: Fields of a credential for plugins that authenticate (a pydantic model), or ``None``
    Credential: ClassVar[type[BaseModel] | None] = None

    #: ``WWW-Authenticate`` value of plugins that authenticate; set it on ``self`` when it depends on the settings
    challenge: str = ""

    #: Hooks for which the settings leave nothing to do: set it on ``self``, and they cost nothing
    unused: frozenset[str] = frozenset()

    def __init__(self, config: Any, policy: PolicyInfo) -> None:
        self.config = config
        self.policy = policy

    @classmethod
    def lookup(cls, credential: Any) -> tuple[str, dict[str, object] | None]:
        """Return the key under which a credential is found, and what to store beside it. Runs in the agent.

        Never return the secret: return a digest of it. The key finds the holder in
        ``exchange.snapshot.credentials[cls.name]``.
        """
        raise TypeError(f"{cls.__name__} has no credentials")


class Candidate(Protocol):
    """A member that can be chosen, with what the worker knows of it. The core counts; balancers only read."""

    member: Member
    address: str
    weight: int
    #: exchanges running now, from this worker
    in_flight: int
    #: seconds to the first octet, exponentially weighted; ``0.0`` until measured
    latency: float
    #: failures in a row
    failures: int


class Balancer:
    """Chooses a member; one instance per pool, kept while its settings stay the same."""

    #: entry point in group ``gateway.balancers``, and the name in a pool's ``balancer``
    name: ClassVar[str]
    api: ClassVar[int] = 1

    class Config(BaseModel):
        """Settings of the balancer in one pool."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, config: Any, seed: int | None = None) -> None:
        self.config = config
        #: for a repeatable choice in tests; ``None`` = from the system
        self.seed = seed

    def changed(self, candidates: Sequence[Candidate]) -> None:
        """Prepare for these candidates: called when membership, weights or health change, not per request."""

    def pick(self, exchange: Exchange, candidates: Sequence[Candidate]) -> Candidate:
        """Return one of the candidates, of which there is at least one. About a microsecond, never a scan."""
        raise NotImplementedError


class PartResult:
    """What became of one part of a composition: a response, or a word for why there is none."""

    __slots__ = ("name", "required", "status", "headers", "content", "error")

    def __init__(self, name: str, required: bool, response: Response | None, content: bytes, error: str = "") -> None:
        self.name = name
        self.required = required
        self.status = response.status if response else 0
        self.headers = response.headers if response else None
        self.content = content
        #: empty when the part succeeded; otherwise ``timeout``, ``connect_failure``, ``status_500`` …
        self.error = error


__all__ = ["Balancer", "Body", "Candidate", "PartResult", "Plugin", "PolicyInfo", "Reject", "Worker", "hookimpl"]
