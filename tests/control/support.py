"""What the tests of control share: small plugins with settings and credentials, and a configuration that is in order."""

import copy
import hashlib

import pytest
from pydantic import BaseModel, Field

from gateway.api import Consumer, Exchange, Plugin, Reject, Secret, Settings, hookimpl
from gateway.control.compile import compile_config
from gateway.control.problems import ConfigErrors
from gateway.defaults.round_robin import RoundRobin
from gateway.hooks.manager import Registry


class Key(Plugin):
    """Know the caller by a key."""

    name = "key"

    class Credential(Settings):
        key: Secret
        colour: str = "blue"

    @classmethod
    def lookup(cls, credential):
        if credential.key == "unusable":
            raise LookupError("unusable")
        return hashlib.sha256(credential.key.encode()).hexdigest(), {"colour": credential.colour}

    @hookimpl
    def authenticate(self, exchange: Exchange) -> Consumer | Reject | None:
        return None


class Window(Settings):
    requests: int = Field(ge=1)
    per_s: float = Field(gt=0)


class Rates(Plugin):
    """Refuse what is too much."""

    name = "rates"

    class Config(Plugin.Config):
        limits: tuple[Window, ...] = Field(min_length=1)
        shared_with: Secret | None = None

    @hookimpl
    def limit(self, exchange: Exchange) -> Reject | None:
        return None


class Odd(Plugin):
    """Has a validator with a bug."""

    name = "odd"

    class Config(BaseModel):
        word: str = ""

        def model_post_init(self, context):
            if self.word == "boom":
                raise KeyError("boom")


def registry(*more):
    made = Registry()
    for plugin in (Key, Rates, Odd, RoundRobin, *more):
        made.add(plugin)
    return made


REGISTRY = registry()
GOOD = {
    "version": 1,
    "listeners": [{"name": "web", "address": "127.0.0.1:8000"}],
    "pools": [{"name": "users", "members": [{"address": "127.0.0.1:9001"}]}],
    "apis": [{"name": "shop", "versioning": {"versions": [{"name": "v1"}, {"name": "v2"}]}}],
    "routes": [
        {"name": "users", "match": {"paths": ["/users/{id}"]}, "pool": "users", "policies": [{"plugin": "key"}]},
        {"name": "shop", "match": {"paths": ["/shop"]}, "pool": "users", "api": "shop", "versions": ["v1"]},
    ],
    "consumers": [
        {"name": "alice", "groups": ["gold"], "credentials": [{"plugin": "key", "config": {"key": "alice's"}}]},
        {"name": "bob", "groups": ["gold"], "credentials": [{"plugin": "key", "config": {"key": "bob's"}}]},
    ],
    "policies": [{"plugin": "rates", "config": {"limits": [{"requests": 5, "per_s": 1}]}}],
}


def good(**changes):
    """Return a configuration in order, with some top-level parts replaced."""
    return {**copy.deepcopy(GOOD), **changes}


def compiled(data=None, previous=None, **options):
    return compile_config(GOOD if data is None else data, options.pop("registry", REGISTRY), previous, **options)


def problems(data, **options):
    """Return the problems of a configuration that is not in order, as path -> message."""
    with pytest.raises(ConfigErrors) as caught:
        compiled(data, **options)
    return {problem.path: problem.message for problem in caught.value.problems}


def warnings(data=None, **options):
    return {problem.path: problem.message for problem in compiled(data, **options).warnings}


def route(**fields):
    """Return a configuration with one more route."""
    return good(routes=[{"name": "one", "match": {"paths": ["/one"]}, "pool": "users", **fields}])


def pool(**fields):
    """Return a configuration whose pool has more settings."""
    return good(pools=[{"name": "users", "members": [{"address": "127.0.0.1:9001"}], **fields}])
