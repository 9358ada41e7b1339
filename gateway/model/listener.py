"""Listeners and certificates: where clients connect."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.model.base import Named, Referring, Seconds, Secret, Settings
from gateway.model.pool import check_address


def check_listener_address(value: str) -> str:
    """Accept ``host:port``, ``[ipv6]:port`` and ``unix:/path``; raise ValueError on anything else."""
    return value if value.startswith("unix:/") else check_address(value)


class HttpLimits(Settings):
    """Caps on what a client may send, and how slowly."""

    max_line_bytes: int = Field(8192, ge=256, le=1 << 20, description="Longest request line, else 414")
    max_headers: int = Field(100, ge=1, le=10000, description="Most header fields, else 431")
    max_header_bytes: int = Field(32768, ge=256, le=1 << 24, description="Largest head, else 431")
    head_s: Seconds = Field(10, gt=0, description="From the first octet of a request to the end of its head, else 408")
    body_idle_s: Seconds = Field(30, gt=0, description="Longest silence of a client that is sending or receiving a body")
    keep_alive_s: Seconds = Field(75, ge=0, description="How long an idle connection is kept; 0 = closed after each response")
    max_requests: int = Field(0, ge=0, description="Requests on one connection, then it is closed; 0 = no limit")
    max_connections: int = Field(0, ge=0, description="Client connections per worker; 0 = no limit")


class Listener(Named):
    """An address that clients connect to."""

    address: Annotated[str, AfterValidator(check_listener_address)] = Field(description="host:port, [ipv6]:port or unix:/path")
    protocol: Literal["http", "https", "tcp", "udp"] = Field("http", description="What is spoken there")
    proxy_protocol: tuple[str, ...] = Field((), description="Networks whose connections begin with a PROXY protocol header (v1 or v2)")
    trusted_proxies: tuple[str, ...] = Field((), description="Networks whose Forwarded and X-Forwarded-* headers are believed")
    min_tls: Literal["1.2", "1.3"] = Field("1.2", description="Oldest TLS version accepted")
    http: HttpLimits = Field(default_factory=HttpLimits, description="Caps and deadlines towards clients")


class Certificate(Named, Referring):
    """A certificate with its key, chosen by the name the client asks for."""

    hosts: tuple[str, ...] = Field((), description="Host names: exact, or *.example.com; none = for every other name")
    certificate: str = Field(min_length=1, description="PEM chain, or $file:PATH")
    key: Secret = Field(description="PEM key, or $file:PATH")


class Stream(Named):
    """A TCP or UDP route: a listener whose connections go to a pool untouched."""

    listener: str = Field(description="Name of a tcp or udp listener")
    pool: str = Field(description="Where connections go")
