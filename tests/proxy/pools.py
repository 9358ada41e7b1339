"""Pools, exchanges and a clock for the tests of this directory."""

from gateway.defaults.least_connections import LeastConnections
from gateway.defaults.round_robin import RoundRobin
from gateway.http.message import Request
from gateway.model.exchange import Exchange
from gateway.model.pool import Pool
from gateway.net import Event
from gateway.proxy.balancers import balancer_builder
from gateway.proxy.balancing import PoolRuntime

BUILTIN = {"round_robin": RoundRobin, "least_connections": LeastConnections}


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


class Connection:
    """An idle connection that remembers whether it was closed."""

    closed = False

    def close(self):
        self.closed = True


def make_exchange(now=1000.0, client="192.0.2.1"):
    return Exchange(Request("GET", "/"), client, now)


def members(*spec):
    """``"a:1"`` or ``("a:1", {"weight": 2})`` for each member."""
    return [{"address": s} if isinstance(s, str) else {"address": s[0], **s[1]} for s in spec]


def make_pool(*spec, **fields):
    return Pool(name="users", members=members(*spec), **fields)


class Runtime(PoolRuntime):
    """A pool on a clock of its own that keeps what it notifies and what plugins raise."""

    def __init__(self, *spec, classes=BUILTIN, **fields):
        self.clock = Clock()
        self.frames = []
        self.errors = []
        self.build = balancer_builder(classes, lambda name, error: self.errors.append(error))
        super().__init__(
            make_pool(*spec, **fields),
            self.build,
            Event,
            notify=self.frames.append,
            plugin_failed=lambda plugin, error: self.errors.append(error),
            clock=self.clock,
        )

    def edit(self, *spec, **fields):
        self.configure(make_pool(*spec, **fields), self.build)

    def take(self, *tried, selectors=()):
        """Choose for an exchange that starts now."""
        return self.choose(make_exchange(self.clock.now), tried, selectors)

    def picks(self, count):
        """Return the addresses of that many exchanges that end at once."""
        addresses = []
        for _ in range(count):
            endpoint = self.take()
            addresses.append(endpoint.address)
            self.release(endpoint)
        return addresses
