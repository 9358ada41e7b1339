"""The gateway of this repository: one worker, with agent and master on the same core and in the same account."""

import json
import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from benchmarks.machine import Process, free_port, output
from benchmarks.proxies.base import Proxy, Setup

CHAIN = [
    {"plugin": "key_auth", "config": {"header": "X-API-Key"}},
    {"plugin": "rate_limit", "config": {"limits": [{"requests": 1_000_000, "per_s": 1}], "by": "consumer"}},
    {
        "plugin": "headers",
        "config": {
            "request": {"set": {"X-Consumer": "{consumer}"}, "remove": ["X-API-Key"]},
            "response": {"set": {"X-Served-By": "gateway"}},
        },
    },
]


def configuration(setup: Setup) -> dict[str, Any]:
    """Return the configuration: one route for everything, or many of two kinds (path prefix, path template)."""
    pool = {"name": "backend", "members": [{"address": setup.backend}], "limits": {"idle_connections": 128}}
    if setup.routes == 1:
        routes = [{"name": "all", "match": {"paths": ["/"]}, "pool": "backend"}]
    else:
        paths = [f"/service-{number}" if number % 2 else f"/service-{number}/items/{{id}}" for number in range(setup.routes)]
        routes = [{"name": f"service-{number}", "match": {"paths": [path]}, "pool": "backend"} for number, path in enumerate(paths)]
    consumers = [{"name": consumer, "credentials": [{"plugin": "key_auth", "config": {"key": key}}]} for key, consumer in setup.holders()]
    return {
        "version": 1,
        "listeners": [{"name": "clients", "address": f"127.0.0.1:{setup.port}"}],
        "pools": [pool],
        "routes": routes,
        "consumers": consumers,
        "policies": CHAIN if setup.chain else [],
    }


class Gateway(Proxy):
    """The gateway of this repository."""

    name = "gateway"
    title = "this gateway"
    chain = True

    def missing(self) -> str:
        """Return what is not installed; empty when it can start."""
        return "" if find_spec("gateway.cli") else "gateway.cli"

    def python(self) -> str:
        """Return the interpreter that runs it."""
        return sys.executable

    def version(self) -> str:
        """Return its version and that of Python."""
        return f"{version('gateway')} on {output(self.python(), '--version')}"

    def start(self, setup: Setup) -> Process:
        """Start it as an operator would, with state and access log in the directory of the setup."""
        path = setup.write("gateway.json", json.dumps(configuration(setup)))
        command = [
            self.python(), "-P", "-m", "gateway", "proxy", "--config", str(path), "--workers", "1",
            "--state", str(setup.directory / "state"), "--management", f"127.0.0.1:{free_port()}",
        ]  # fmt: skip
        if setup.chain:
            command += ["--access-log", str(setup.directory / "access.log")]
        return Process(command, setup.core, setup.directory)
