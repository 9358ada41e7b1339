"""Route, API and composition: which requests, and what becomes of them."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gateway.model.base import Name, Named, Seconds, Settings
from gateway.model.policy import Policy

Method = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]


class Match(Settings):
    """Which requests a route takes. Within a list any entry may fit; all lists given must fit."""

    hosts: tuple[str, ...] = Field((), description="Host names: exact, or *.example.com for every name below; none = any")
    paths: tuple[str, ...] = Field(
        ("/",), min_length=1, description="/users prefix on a segment boundary; =/users exact; /users/{id} template; ~^/v[0-9]+/ regex"
    )
    methods: tuple[Method, ...] = Field((), description="Request methods; none = any (GET includes HEAD)")
    headers: dict[str, str] = Field(
        default_factory=dict, description="Header name and its exact value, or ~regex; an empty value means present"
    )
    query: dict[str, str] = Field(
        default_factory=dict, description="Query parameter and its exact value, or ~regex; an empty value means present"
    )
    clients: tuple[str, ...] = Field((), description="Client networks, such as 10.0.0.0/8 or 2001:db8::/32; none = any")


class Timeouts(Settings):
    """How long to wait for a backend."""

    connect_s: Seconds = Field(5, gt=0, description="For a connection, TLS included")
    first_byte_s: Seconds = Field(60, gt=0, description="From the last octet of the request to the response head")
    idle_s: Seconds = Field(60, gt=0, description="Between two octets of a body, either way")
    total_s: Seconds = Field(0, description="For the whole exchange; 0 = no limit")


_Failure = Literal["connect_failure", "reset_before_headers", "first_byte_timeout", "502", "503", "504"]
RetryOn = Annotated[
    _Failure,
    # YAML reads 502 as a number
    BeforeValidator(lambda value: str(value) if type(value) is int else value, json_schema_input_type=_Failure | Literal[502, 503, 504]),
]


class Retries(Settings):
    """When to try another member. A request that may have had an effect is never sent twice."""

    attempts: int = Field(1, ge=0, le=10, description="Tries after the first")
    on: tuple[RetryOn, ...] = Field(("connect_failure", "reset_before_headers"), description="What counts as a failure worth another try")
    budget_percent: float = Field(20, ge=0, le=100, description="Retries allowed, in percent of the requests of the last ten seconds")
    budget_floor: int = Field(10, ge=0, description="Retries always allowed in ten seconds, however few requests there were")


class Part(Settings):
    """One of several backend requests whose answers are put together."""

    name: Name = Field(description="Under this name the answer appears in the result")
    pool: Name = Field(description="Where the part is fetched")
    path: str = Field("", description="Path and query; {captures} of the route's template are filled in. Empty = as requested")
    method: Method = Field("GET", description="Request method of the part")
    required: bool = Field(True, description="When it fails: fail the whole (502), or leave it out and mark the answer partial")
    timeout_s: Seconds = Field(0, description="Deadline of the part; 0 = 85 % of the composition's")


class Composition(Settings):
    """Several backend requests made at once and aggregated into one response."""

    parts: tuple[Part, ...] = Field(min_length=1, description="What to fetch")
    timeout_s: Seconds = Field(10, gt=0, description="Deadline of the whole")
    max_part_bytes: int = Field(8 << 20, ge=1, description="Largest answer of one part that is kept in memory, in octets")


class Route(Named):
    """A match, what happens to requests that fit, and where they go."""

    match: Match = Field(default_factory=Match, description="Which requests this route takes")
    priority: int = Field(0, ge=-1_000_000, le=1_000_000, description="Higher wins, before anything else is compared")
    enabled: bool = Field(True, description="Off: the route is never matched")
    api: Name | None = Field(None, description="The API this route belongs to, whose policies it inherits")
    versions: tuple[str, ...] = Field((), description="Versions of its API that this route serves; none = all")
    strip_path: bool = Field(False, description="Remove the matched prefix (or literal part of a template) before forwarding")
    rewrite_path: str | None = Field(None, description="Path sent to the backend; {captures}, {path} and {rest} are filled in")
    host: str = Field("preserve", description="Host sent to the backend: preserve, backend (the member's address) or a literal name")
    pool: Name | None = Field(None, description="The pool that answers")
    compose: Composition | None = Field(None, description="Instead of a pool: parts fetched at once and aggregated")
    policies: tuple[Policy, ...] = Field((), description="Plugins on this route, in running order")
    timeouts: Timeouts | None = Field(None, description="Instead of the pool's")
    retries: Retries | None = Field(None, description="Instead of the pool's")
    upgrades: tuple[str, ...] = Field(
        ("websocket",), description="Protocols a client may upgrade to, as a tunnel; none = Upgrade is ignored"
    )
    connect: bool = Field(False, description="Accept CONNECT and tunnel it to the pool")


class Version(Settings):
    """One version of an API."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="As clients write it, such as v1 or 2024-05-01")
    deprecated: date | None = Field(None, description="From this day on responses carry a Deprecation header (RFC 9745)")
    sunset: date | None = Field(None, description="Last day; announced in a Sunset header (RFC 8594), afterwards 410")


class Versioning(Settings):
    """How clients say which version of an API they want."""

    by: Literal["path", "header", "query"] = Field(
        "path", description="First path segment (removed before matching), a header or a query parameter"
    )
    key: str = Field("X-API-Version", description="Name of the header or query parameter")
    default: str | None = Field(None, description="Version meant when a request names none; none = 404")
    versions: tuple[Version, ...] = Field(min_length=1, description="The versions there are")


class Api(Named):
    """A product made of routes: shared policies, versions, documentation."""

    hosts: tuple[str, ...] = Field((), description="Host names for its routes that name none")
    versioning: Versioning | None = Field(None, description="Versions of this API")
    policies: tuple[Policy, ...] = Field((), description="Plugins on every route of this API")
    documentation: str | None = Field(None, description="URL of its OpenAPI document")
