"""What the tests of hooks share: a worker that is only a worker, and small plugins that write down what happens to them."""

import logging

from gateway.api import Consumer, Exchange, Headers, Plugin, PolicyInfo, Reject, Request, hookimpl
from gateway.hooks.manager import Registry
from gateway.hooks.plan import Planner
from gateway.model.policy import Policy
from gateway.model.route import Api, Route
from gateway.model.snapshot import Snapshot


class OneWorker:
    """A worker without a server."""

    index, count = 0, 1
    log = logging.getLogger("tests.worker")


class Note(Plugin):
    """Leave a mark at every hook."""

    name = "note"

    class Config(Plugin.Config):
        word: str = "x"
        fail_at_start: bool = False

    happened: list[tuple[str, str]] = []

    @hookimpl
    def start(self, worker):
        self.happened.append(("start", self.policy.id))
        if self.config.fail_at_start:
            raise OSError("no socket")

    @hookimpl
    def stop(self, worker):
        self.happened.append(("stop", self.policy.id))

    @hookimpl
    def limit(self, exchange):
        exchange.notes.setdefault("order", []).append(self.config.word)

    @hookimpl
    def transform_request(self, exchange):
        exchange.notes.setdefault("order", []).append(f"request {self.config.word}")


class First(Plugin):
    """Come before the others."""

    name = "first"

    @hookimpl(tryfirst=True)
    def limit(self, exchange):
        exchange.notes.setdefault("order", []).append("first")


class Last(Plugin):
    """Come after the others."""

    name = "last"

    @hookimpl(trylast=True)
    def limit(self, exchange):
        exchange.notes.setdefault("order", []).append("last")


class Closed(Plugin):
    """Refuse everybody."""

    name = "closed"

    class Config(Plugin.Config):
        status: int = 403

    @hookimpl
    def authorize(self, exchange):
        return Reject(self.config.status, "closed", "nobody comes in")


class Badge(Plugin):
    """Know the caller by a header."""

    name = "badge"

    class Config(Plugin.Config):
        header: str = "badge"

    def __init__(self, config, policy):
        super().__init__(config, policy)
        self.challenge = f"Badge {config.header}"

    @hookimpl
    def authenticate(self, exchange):
        value = exchange.request.headers.get(self.config.header)
        if value is None:
            return None
        return Consumer(value) if value != "forged" else Reject(401, "forged")


class Events:
    """Registry, planner and what they report."""

    def __init__(self, *plugins: type[Plugin]) -> None:
        self.registry = Registry()
        for plugin in plugins or (Note, First, Last, Closed, Badge):
            self.registry.add(plugin, "tests", "1")
        self.failed: list[tuple[str, str]] = []
        self.shadowed: list[str] = []
        Note.happened.clear()
        self.planner = Planner(
            self.registry,
            OneWorker(),
            lambda policy, hook: self.failed.append((policy.id, hook)),
            lambda policy: self.shadowed.append(policy.id),
        )

    def load(self, snapshot: Snapshot):
        plans = self.planner.compile(snapshot)
        self.planner.adopt(plans)
        return plans


def policy(plugin: str, **fields) -> Policy:
    return Policy.model_validate({"plugin": plugin, **fields})


def snapshot(route=(), *, gateway=(), api=(), routes=None, consumers=None) -> Snapshot:
    """One route called ``r`` of an API called ``a``, or the ``routes`` given."""
    return Snapshot(
        policies=tuple(gateway),
        apis={"a": Api(name="a", policies=tuple(api))},
        routes=routes if routes is not None else {"r": Route(name="r", api="a", policies=tuple(route))},
        consumers=consumers or {},
    )


def exchange(method="GET", path="/", headers=(), consumer=None) -> Exchange:
    made = Exchange(Request(method, path, headers=Headers.of(headers)), "192.0.2.1", 0.0)
    made.consumer = consumer
    return made


def run(steps, made: Exchange):
    """Return the first answer, as the lifecycle does."""
    for step in steps:
        if (answer := step(made)) is not None:
            return answer
    return None


def info(policy_id: str = "p") -> PolicyInfo:
    return PolicyInfo("note", policy_id)
