"""Caddy: its reverse_proxy, on one processor."""

import json

from benchmarks.machine import Process, find_program, output
from benchmarks.proxies.base import Proxy, Setup


class Caddy(Proxy):
    """Caddy."""

    name = "caddy"
    title = "Caddy"

    def missing(self) -> str:
        """Return what is not installed; empty when it can start."""
        return "" if find_program("caddy") else "Debian package caddy"

    def version(self) -> str:
        """Return its version, as it says itself."""
        return (output(find_program("caddy"), "version").split() or ["?"])[0]

    def start(self, setup: Setup) -> Process:
        """Start it without administration, automatic HTTPS and logs."""
        transport = {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": 128, "idle_timeout": "60s"}}
        proxy = {
            "handler": "reverse_proxy", "transport": transport, "upstreams": [{"dial": setup.backend}],
            "headers": {"request": {"set": {"X-Request-ID": ["{http.request.uuid}"]}}},
        }  # fmt: skip
        server = {"listen": [f"127.0.0.1:{setup.port}"], "automatic_https": {"disable": True}, "routes": [{"handle": [proxy]}]}
        configuration = {
            "admin": {"disabled": True, "config": {"persist": False}},
            "logging": {"logs": {"default": {"level": "ERROR"}}},
            "apps": {"http": {"servers": {"one": server}}},
        }
        path = setup.write("caddy.json", json.dumps(configuration))
        home = str(setup.directory)
        env = {"GOMAXPROCS": "1", "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
        return Process([find_program("caddy"), "run", "--config", str(path)], setup.core, setup.directory, env)
