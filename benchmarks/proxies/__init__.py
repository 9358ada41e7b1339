"""The proxies that are compared, each with the configuration its own manual recommends for this work."""

from benchmarks.proxies.base import Proxy, Setup
from benchmarks.proxies.caddy import Caddy
from benchmarks.proxies.compiled import CompiledGateway
from benchmarks.proxies.envoy import Envoy
from benchmarks.proxies.express import ExpressGateway
from benchmarks.proxies.gateway import Gateway
from benchmarks.proxies.haproxy import HAProxy, HAProxyRing
from benchmarks.proxies.nginx import Nginx

#: In the order of the tables. The last is not asked unless named.
PROXIES: tuple[Proxy, ...] = (Gateway(), CompiledGateway(), Nginx(), HAProxy(), Envoy(), Caddy(), ExpressGateway(), HAProxyRing())

__all__ = ["PROXIES", "Proxy", "Setup"]
