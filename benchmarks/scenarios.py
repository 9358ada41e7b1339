"""What is measured: the requests that are sent, and what the proxy has to do with each."""

from dataclasses import dataclass

MIB = 1 << 20
#: What a small API client sends beside Host.
CLIENT = (("User-Agent", "benchmark/1"), ("Accept", "*/*"))
KEY = (("X-API-Key", "key-000042"),)


@dataclass(frozen=True)
class Scenario:
    """One kind of traffic and of work."""

    name: str
    title: str
    #: key check, rate limit, headers both ways and an access log
    chain: bool = False
    path: str = "/small"
    headers: tuple[tuple[str, str], ...] = CLIENT
    connections: int = 64
    #: words for load.lua
    load: tuple[str, ...] = ("plain",)
    routes: int = 1
    consumers: int = 0
    #: octets of content in a request or response, where throughput is better told in MiB/s
    content: int = 0
    #: only these proxies are asked to do it; empty = every one that can
    only: tuple[str, ...] = ()
    #: the backend has to read whole request bodies
    reads: bool = False
    #: requests arrive at half the rate that the first proxy can take, instead of as fast as they are answered
    paced: bool = False

    @property
    def new_connections(self) -> bool:
        """Whether each request has a connection of its own."""
        return ("Connection", "close") in self.headers


SCENARIOS = (
    Scenario("plain", "Plain proxying: small responses, 64 keep-alive connections"),
    Scenario(
        "chain",
        "Full chain: API key of 1,000, rate limit per consumer, headers set both ways, metrics, access log",
        chain=True, headers=CLIENT + KEY, consumers=1000,
    ),
    Scenario("close", "Plain proxying, a new client connection for each request", headers=(*CLIENT, ("Connection", "close"))),
    Scenario("download", "1 MiB response bodies", path="/large", content=MIB),
    Scenario("upload", "1 MiB request bodies", load=("upload", str(MIB)), content=MIB, reads=True),
    Scenario("half", "Plain proxying at the same rate for all, requests at random moments: half of what the first can take", paced=True),
    Scenario(
        "half_chain", "Full chain at the same rate for all: half of what the first can take",
        chain=True, headers=CLIENT + KEY, consumers=1000, paced=True,
    ),
    Scenario(
        "few", "Full chain with 10 routes and 100 consumers, requests spread over all of them",
        chain=True, load=("mix", "10", "100"), routes=10, consumers=100, only=("gateway", "compiled"),
    ),
    Scenario(
        "many", "Full chain with 10,000 routes and 100,000 consumers, requests spread over them",
        chain=True, load=("mix", "10000", "100000"), routes=10_000, consumers=100_000, only=("gateway", "compiled"),
    ),
)  # fmt: skip
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
