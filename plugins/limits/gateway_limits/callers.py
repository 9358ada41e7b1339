"""Whose requests are counted together: the part of a key that comes from the exchange."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import lru_cache

from gateway.api import Exchange

Caller = Callable[[Exchange], str]


def caller_by(word: str) -> Caller:
    """Return the function for a ``by`` setting. Who has no consumer, credential or header is counted by address."""
    if word.startswith("header:"):
        return _by_header(word.removeprefix("header:").strip().lower().encode("ascii"))
    return {"consumer": _consumer, "credential": _credential, "ip": _ip, "route": _route, "all": _all}[word]


def _consumer(exchange: Exchange) -> str:
    consumer = exchange.consumer
    return network(exchange.client) if consumer is None else "consumer " + consumer.name


def _credential(exchange: Exchange) -> str:
    consumer = exchange.consumer
    return network(exchange.client) if consumer is None else f"credential {consumer.name} {exchange.credential}"


def _ip(exchange: Exchange) -> str:
    return network(exchange.client)


def _route(exchange: Exchange) -> str:
    return "route " + exchange.route.name if exchange.route else "no route"


def _all(exchange: Exchange) -> str:
    return "all"


def _by_header(name: bytes) -> Caller:
    def by_header(exchange: Exchange) -> str:
        value = exchange.request.headers.octets(name)
        return network(exchange.client) if value is None else "header " + value.decode("latin-1")

    return by_header


@lru_cache(16384)
def network(client: str) -> str:
    """Return the address of an IPv4 client, the /64 network of an IPv6 one: its user has all of that at hand."""
    if ":" in client:
        try:
            octets = socket.inet_pton(socket.AF_INET6, client.partition("%")[0])
        except OSError:
            return "client " + client
        if octets.startswith(b"\0" * 10 + b"\xff\xff"):
            return "client " + socket.inet_ntop(socket.AF_INET, octets[12:])
        return "client " + octets[:8].hex()
    return "client " + client
