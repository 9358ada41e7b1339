"""The plugin author's kit, loaded by pytest as a plugin wherever the gateway is installed.

Fixtures: ``echo`` (a backend that writes down requests), ``start_echo`` (more of them) and ``run_gateway`` (a gateway
process in front of it). Functions: ``make_plugin``, ``make_exchange`` and ``make_snapshot`` for plain calls,
``candidates`` and ``check_balancer`` for balancers. pytest itself is never monkey-patched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.testing_echo import Answer, Echo, Received

if TYPE_CHECKING:
    from gateway.testing_balancers import candidates, check_balancer
    from gateway.testing_calls import LoneWorker, make_exchange, make_plugin, make_snapshot
    from gateway.testing_gateway import NotRunning, Refused, Reply, RunningGateway, free_ports

#: Imported when first used, so that a test run that needs none of them starts as fast as before.
_LATER = {
    "candidates": "gateway.testing_balancers",
    "check_balancer": "gateway.testing_balancers",
    "LoneWorker": "gateway.testing_calls",
    "make_exchange": "gateway.testing_calls",
    "make_plugin": "gateway.testing_calls",
    "make_snapshot": "gateway.testing_calls",
    "NotRunning": "gateway.testing_gateway",
    "Refused": "gateway.testing_gateway",
    "Reply": "gateway.testing_gateway",
    "RunningGateway": "gateway.testing_gateway",
    "free_ports": "gateway.testing_gateway",
}
__all__ = [
    "Answer", "Echo", "LoneWorker", "NotRunning", "Received", "Refused", "Reply", "RunningGateway", "candidates", "check_balancer",
    "free_ports", "make_exchange", "make_plugin", "make_snapshot",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)


@pytest.fixture
def start_echo() -> Iterator[Callable[[], Echo]]:
    """Start backends, each on a free port; they end with the test."""
    started: list[Echo] = []

    def start() -> Echo:
        started.append(Echo())
        return started[-1]

    yield start
    for echo in started:
        echo.close()


@pytest.fixture
def echo(start_echo: Callable[[], Echo]) -> Echo:
    """A backend that writes down its requests in ``echo.requests`` and describes them in JSON."""
    return start_echo()


@pytest.fixture
def run_gateway(echo: Echo, tmp_path: Path) -> Iterator[Callable[..., RunningGateway]]:
    """Start gateways from pieces of configuration; what is left out sends everything to ``echo``.

    ``run_gateway(policies=[...], workers=2, env={...}, arguments=[...])``; every other keyword is a top-level part of
    the configuration. Routes without a pool go to the pool ``echo``.
    """
    from gateway.testing_gateway import RunningGateway

    running: list[RunningGateway] = []

    def run(*, workers: int = 1, env: dict[str, str] | None = None, arguments: tuple[str, ...] = (), **pieces: Any) -> RunningGateway:
        configuration = {"pools": [], "routes": [{"name": "all"}], **pieces}
        if all(pool["name"] != "echo" for pool in configuration["pools"]):
            configuration["pools"] = [*configuration["pools"], {"name": "echo", "members": [{"address": echo.address}]}]
        configuration["routes"] = [
            route if "pool" in route or "compose" in route else {**route, "pool": "echo"} for route in configuration["routes"]
        ]
        folder = tmp_path / f"gateway-{len(running)}"
        running.append(RunningGateway(folder, configuration, workers=workers, arguments=arguments, env=env or {}))
        return running[-1]

    yield run
    for gateway in running:
        gateway.stop()
