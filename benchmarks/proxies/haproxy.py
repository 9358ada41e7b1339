"""HAProxy: one thread, connections upstream always reused."""

import re

from benchmarks.machine import Process, find_program, output
from benchmarks.proxies.base import Proxy, Setup

CONFIGURATION = """
global
    nbthread 1
    maxconn 4096
    {log}
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 75s
    http-reuse always
    option forwardfor
    option splice-auto
    {options}
frontend clients
    bind 127.0.0.1:{port} backlog 4096
    unique-id-format %[uuid()]
    unique-id-header X-Request-ID
    {chain}
    default_backend servers
backend servers
    server one {backend} pool-max-conn 128 pool-purge-delay 1h
{rest}
"""
CHAIN = """
    log-format {log_format}
    http-request set-var(txn.consumer) req.hdr(x-api-key),map({directory}/keys.map)
    http-request deny deny_status 401 unless {{ var(txn.consumer) -m found }}
    http-request track-sc0 var(txn.consumer) table rates
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 100000000 }}
    http-request set-header X-Consumer %[var(txn.consumer)]
    http-request del-header X-API-Key
    http-response set-header X-Served-By gateway
"""
LOG_FORMAT = (
    """'{"time":"%tr","id":"%ID","client":"%ci","method":"%HM","path":"%HU","status":%ST,"bytes":%B,"""
    """"consumer":"%[var(txn.consumer)]","ms":%Ta,"upstream":"%s","upstream_ms":%Tr}'"""
)
RATES = """
backend rates
    stick-table type string len 64 size 200k expire 60s store http_req_rate(1s)
"""
RING = """
ring access
    format raw
    maxlen 1200
    size 1048576
"""


class HAProxy(Proxy):
    """HAProxy, in the full chain with a line per request in a file."""

    name = "haproxy"
    title = "HAProxy"
    chain = True
    log = "log stdout format raw local0"
    ring = ""

    def missing(self) -> str:
        """Return what is not installed; empty when it can start."""
        return "" if find_program("haproxy") else "Debian package haproxy"

    def version(self) -> str:
        """Return its version, as it says itself."""
        found = re.search(r"version (\d[\d.]*)", output(find_program("haproxy"), "-v"))
        return found[1] if found else "?"

    def start(self, setup: Setup) -> Process:
        """Start it with key map, stick table, headers and log when the chain is asked for."""
        if setup.chain:
            setup.write("keys.map", "".join(f"{key} {consumer}\n" for key, consumer in setup.holders()))
        path = setup.write(
            "haproxy.cfg",
            CONFIGURATION.format(
                port=setup.port, backend=setup.backend, log=self.log if setup.chain else "",
                options="log global" if setup.chain else "",
                chain=CHAIN.format(directory=setup.directory, log_format=LOG_FORMAT) if setup.chain else "",
                rest=(RATES if setup.chain else "") + self.ring,
            ),
        )  # fmt: skip
        return Process([find_program("haproxy"), "-db", "-f", str(path)], setup.core, setup.directory)


class HAProxyRing(HAProxy):
    """HAProxy with its log in memory instead of a file: what the file costs."""

    name = "haproxy-ring"
    title = "HAProxy, log to a ring in memory"
    by_default = False
    log = "log ring@access local0"
    ring = RING
