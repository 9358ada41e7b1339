"""Health of members as all workers should see it: verdicts of active checks, ejections found by any worker.

Verdicts are kept on disk. An agent that is started anew knows them at once, so that workers that start with it do not
send requests to a member that was down a second ago.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from gateway.agent import frames
from gateway.agent.checks import Checker
from gateway.agent.frames import Message
from gateway.agent.state import read_json, replace
from gateway.control.load import load
from gateway.model.pool import Pool

Verdicts = dict[str, dict[str, dict[str, Any]]]


class NodeHealth:
    """Verdicts and ejections. ``broadcast`` sends frames to every worker."""

    def __init__(self, path: Path, broadcast: Any) -> None:
        self.checker = Checker(self._changed)
        self._path = path
        self._broadcast = broadcast
        self._inherited: Verdicts = read_json(path)
        self._documents: Mapping[str, Any] = {}
        self._pools: Mapping[str, Pool] = {}
        self._checked: set[tuple[str, str]] = set()
        #: (pool, address) -> the ejection in force
        self._ejected: dict[tuple[str, str], Message] = {}

    def configure(self, pools: Mapping[str, Any]) -> None:
        """Check the members of these pools (as documents) from now on. Only what is checked and has changed is looked into."""
        wanted = {name: entry for name, entry in pools.items() if entry.get("health", {}).get("active") is not None}
        changed = {name: entry for name, entry in wanted.items() if self._documents.get(name) != entry}
        made = load({"revision": 0, "digest": "", "pools": changed}).pools
        self._pools = {name: made.get(name) or self._pools[name] for name in wanted}
        self._documents = wanted
        self._checked = {(name, member.address) for name, pool in self._pools.items() for member in pool.members}
        self.checker.configure(self._pools)
        self._ejected = {key: message for key, message in self._ejected.items() if key[0] in pools}

    def verdicts(self) -> Verdicts:
        """Return the verdicts of this agent, and those of its predecessor that it has not come to itself yet."""
        found: Verdicts = {}
        for pool, members in self._inherited.items():
            for address, verdict in members.items():
                if (pool, address) in self._checked:
                    found.setdefault(pool, {})[address] = verdict
        for pool, members in self.checker.verdicts().items():
            found.setdefault(pool, {}).update(members)
        return found

    def greeting(self) -> list[bytes]:
        """Return what a worker that has just connected must know."""
        now = time.monotonic()
        self._ejected = {key: message for key, message in self._ejected.items() if message["until"] > now}
        health = [frames.encode({"type": "health", "pools": verdicts})] if (verdicts := self.verdicts()) else []
        return health + [frames.encode(message) for message in self._ejected.values()]

    def eject(self, message: Message) -> None:
        """Take note of an ejection that a worker found."""
        self._ejected[message["pool"], message["address"]] = message

    def recover(self, message: Message) -> None:
        """Take note that a worker ended an ejection."""
        self._ejected.pop((message["pool"], message["address"]), None)

    def ejections(self) -> dict[tuple[str, str], Message]:
        """Return the ejections in force."""
        now = time.monotonic()
        return {key: message for key, message in self._ejected.items() if message["until"] > now}

    def _changed(self, pool: str, address: str, healthy: bool, reason: str) -> None:
        verdict = {"healthy": healthy, "reason": reason}
        self._broadcast(frames.encode({"type": "health", "pools": {pool: {address: verdict}}}))
        if healthy:
            self._ejected.pop((pool, address), None)
        replace(self._path, orjson.dumps(self.verdicts()))
