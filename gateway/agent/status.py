"""What the management address says of a node."""

import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from gateway.agent.hub import Peer
from gateway.agent.state import read_json
from gateway.shared.board import Board

if TYPE_CHECKING:
    from gateway.agent.service import Agent

#: how long workers have to answer; what they said before is shown for those that do not
REPORT_S = 0.5


def readiness(agent: "Agent") -> str:
    """Return why the node should get no traffic; empty when it should."""
    board = agent.board
    if board.draining:
        return "the gateway is stopping"
    cells = [board.cells[slot] for slot in board.occupied()]
    if not any(cell.ready and not cell.draining for cell in cells):
        return f"none of {len(cells)} workers is ready" if cells else "there are no workers"
    if not any(cell.ready and cell.revision for cell in cells):
        return "no worker has a configuration"
    return ""


def status(agent: "Agent") -> dict[str, Any]:
    """Return everything that is known of the node."""
    agent.hub.ask(REPORT_S)
    configuration = agent.configuration
    reason = readiness(agent)
    return {
        "version": _version(),
        "uptime_s": round(time.time() - agent.started, 1),
        "ready": not reason,
        "reason": reason,
        "config": str(agent.settings.config),
        "revision": configuration.revision,
        "digest": configuration.digest,
        "since": configuration.since,
        "compile_ms": configuration.took_ms,
        "warnings": configuration.warnings,
        "refused": configuration.refused,
        "trouble": configuration.trouble,
        "failed_plugins": configuration.failed_plugins,
        "workers": _workers(agent.board, agent.hub.peers),
        "pools": _pools(agent),
        "reload": read_json(agent.state.reload) or None,
    }


def agent_metrics(agent: "Agent") -> str:
    """Return what only the agent counts, in the text format of Prometheus."""
    board, configuration = agent.board, agent.configuration
    cells = [board.cells[slot] for slot in board.occupied()]
    samples: list[tuple[str, str, str, list[tuple[str, float]]]] = [
        ("gateway_ready", "gauge", "Whether the node should get traffic.", [("", not readiness(agent))]),
        ("gateway_workers", "gauge", "Worker processes.", [("", len(cells))]),
        ("gateway_workers_ready", "gauge", "Worker processes that accept connections.", [("", sum(cell.ready for cell in cells))]),
        ("gateway_worker_starts_total", "counter", "Workers started.", [("", board.starts)]),
        ("gateway_worker_restarts_total", "counter", "Workers started because another one died.", [("", board.restarts)]),
        ("gateway_connections", "gauge", "Client connections open.", [("", sum(cell.connections for cell in cells))]),
        ("gateway_in_flight", "gauge", "Exchanges running.", [("", sum(cell.in_flight for cell in cells))]),
        ("gateway_config_revision", "gauge", "Revision in force.", [("", configuration.revision)]),
        ("gateway_config_refused", "gauge", "Whether the configuration file is not what is in force.", [("", bool(configuration.refused))]),
        ("gateway_config_changes_total", "counter", "Changes put in force.", [("", configuration.changes)]),
        ("gateway_config_refusals_total", "counter", "Configurations refused.", [("", configuration.refusals)]),
        ("gateway_failed_plugins", "gauge", "Installed plugins that cannot be used.", [("", len(configuration.failed_plugins))]),
        ("gateway_member_healthy", "gauge", "Verdict of active checks.", _verdicts(agent)),
    ]
    lines = []
    for name, kind, text, values in samples:
        if values:
            lines.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n")
            lines += [f"{name}{labels} {float(value):g}\n" for labels, value in values]
    return "".join(lines)


def _verdicts(agent: "Agent") -> list[tuple[str, float]]:
    return [
        (f'{{pool="{pool}",member="{address}"}}', verdict["healthy"])
        for pool, members in sorted(agent.health.verdicts().items())
        for address, verdict in sorted(members.items())
    ]


def _workers(board: Board, peers: list[Peer]) -> list[dict[str, Any]]:
    known = {peer.pid: peer for peer in peers}
    now = time.monotonic()
    found = []
    for slot in board.occupied():
        cell = board.cells[slot]
        peer = known.get(cell.pid)
        about: dict[str, Any] = {
            "worker": cell.index,
            "pid": cell.pid,
            "slot": slot,
            "ready": cell.ready,
            "draining": cell.draining,
            "revision": cell.revision,
            "connections": cell.connections,
            "in_flight": cell.in_flight,
            "requests": cell.requests,
            "uptime_s": round(time.time() - cell.started, 1),
            "heartbeat_s": round(now - cell.heartbeat, 1) if cell.heartbeat else None,
            "connected": peer is not None,
        }
        if peer is not None:
            refused = None if peer.refused is None else {"revision": peer.refused.get("revision"), "errors": peer.refused.get("errors")}
            about |= {"digest": peer.digest, "failed_plugins": peer.failed_plugins, "refused": refused, "apply_ms": peer.took_ms}
            about["plugins"] = peer.plugins
        found.append(about)
    return sorted(found, key=lambda about: (about["worker"], about["draining"]))


def _pools(agent: "Agent") -> dict[str, Any]:
    checks = agent.health.checker.snapshot()
    verdicts = agent.health.verdicts()
    ejections = agent.health.ejections()
    now = time.monotonic()
    found: dict[str, Any] = {}
    for pool, settings in agent.configuration.pools.items():
        members = []
        for member in settings.get("members", ()):
            address = member["address"]
            verdict, ejection = verdicts.get(pool, {}).get(address), ejections.get((pool, address))
            reports = [report for peer in agent.hub.peers for report in _reports(peer, pool) if report.get("address") == address]
            members.append(
                {
                    "address": address,
                    "state": member.get("state", "ready"),
                    "weight": member.get("weight", 1),
                    "healthy": verdict and verdict["healthy"],
                    "reason": verdict["reason"] if verdict else "",
                    "ejected_for_s": round(ejection["until"] - now, 1) if ejection else 0.0,
                    "ejected_because": ejection["reason"] if ejection else "",
                    "in_flight": sum(report.get("in_flight", 0) for report in reports),
                    "check": checks.get(pool, {}).get(address),
                }
            )
        found[pool] = {"members": members}
    return found


def _reports(peer: Peer, pool: str) -> list[dict[str, Any]]:
    """Return what a worker said of the members of a pool."""
    pools: dict[str, Any] = peer.status.get("pools", {})
    members: list[dict[str, Any]] = pools.get(pool, {}).get("members", [])
    return members


def _version() -> str:
    try:
        return version("gateway")
    except PackageNotFoundError:
        return "unknown"
