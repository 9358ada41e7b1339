"""Express Gateway, from npm: one Node.js process."""

import json
import subprocess
import sys

from benchmarks.machine import Process, find_program, output
from benchmarks.proxies.base import Proxy, Setup, cache

SYSTEM = """
db: {redis: {emulate: true, namespace: EG}}
crypto: {cipherKey: benchmark, algorithm: aes256, saltRounds: 10}
session: {secret: benchmark, resave: false, saveUninitialized: false}
accessTokens: {timeToExpiry: 7200000}
refreshTokens: {timeToExpiry: 7200000}
authorizationCodes: {timeToExpiry: 300000}
"""


class ExpressGateway(Proxy):
    """Express Gateway."""

    name = "express"
    title = "Express Gateway"

    def missing(self) -> str:
        """Return what is not installed; empty when it can start."""
        if not find_program("node"):
            return "Node.js"
        return "" if (cache("express") / "node_modules" / "express-gateway").exists() else "express-gateway from npm (--install)"

    def install(self) -> None:
        """Fetch it with npm; nothing of it is run meanwhile."""
        if not find_program("npm"):
            raise RuntimeError("npm is not there")
        cache("express").mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "express-gateway@1"]
        subprocess.run(command, cwd=cache("express"), check=True, stdout=sys.stderr)

    def version(self) -> str:
        """Return its version and that of Node.js."""
        package = json.loads((cache("express") / "node_modules" / "express-gateway" / "package.json").read_text())
        return f"{package['version']} on Node.js {output('node', '--version')}"

    def start(self, setup: Setup) -> Process:
        """Start it with one endpoint and the proxy policy."""
        directory = setup.directory / "config"
        (directory / "models").mkdir(parents=True)
        modules = cache("express") / "node_modules"
        for model in (modules / "express-gateway" / "lib" / "config" / "models").glob("*.json"):
            (directory / "models" / model.name).write_bytes(model.read_bytes())
        endpoints = {"all": {"host": "*", "paths": ["/*"]}}
        policies = [{"proxy": [{"action": {"serviceEndpoint": "backend", "changeOrigin": False, "xfwd": True}}]}]
        (directory / "gateway.config.yml").write_text(
            json.dumps(
                {
                    "http": {"port": setup.port, "hostname": "127.0.0.1"},
                    "apiEndpoints": endpoints,
                    "serviceEndpoints": {"backend": {"url": f"http://{setup.backend}"}},
                    "policies": ["proxy"],
                    "pipelines": {"default": {"apiEndpoints": ["all"], "policies": policies}},
                }
            )
        )
        (directory / "system.config.yml").write_text(SYSTEM)
        server = setup.write("server.js", f"require({str(modules / 'express-gateway')!r})().load({str(directory)!r}).run();\n")
        env = {"NODE_ENV": "production", "LOG_LEVEL": "error", "http_proxy": "", "HTTP_PROXY": "", "EG_DISABLE_CONFIG_WATCH": "true"}
        return Process([find_program("node"), str(server)], setup.core, setup.directory, env)
