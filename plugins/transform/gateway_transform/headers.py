"""Change the headers of requests and responses: remove, rename, set, add, in this order.

Everything is compiled when the policy loads: a value without placeholders is checked and encoded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from gateway.api import Exchange, Headers, Plugin, PolicyInfo, Settings, hookimpl
from gateway_transform.templates import Fill, compile_template

#: They say where a message ends and what the connection does: the gateway writes them, a policy must not.
_FRAMING = frozenset({"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"})


def _check_name(name: str) -> str:
    if name.lower() in _FRAMING:
        raise ValueError(f"{name} belongs to the connection and cannot be changed")
    return name


def _check_value(value: str) -> str:
    try:
        compiled = compile_template(value)
    except UnicodeEncodeError:
        raise ValueError("a header can carry Latin-1 only; percent-encode the rest") from None
    if not callable(compiled):
        Headers.prepare("X", compiled.decode("latin-1"))
    elif not value.isprintable():
        raise ValueError("a value has no control characters")
    return value


Name = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"), AfterValidator(_check_name)]
Value = Annotated[str, AfterValidator(_check_value)]
Change = Callable[[Headers, Exchange], None]

_TEMPLATE = (
    "{capture}, {header:NAME}, {query:NAME}, {consumer}, {metadata:KEY}, {credential}, {client}, {id}, {route}, {method}, {scheme} "
    "and {host} are filled in, {capture:NAME} is a capture with the name of one of these; when nothing is known for any placeholder "
    "of a value, the header is left out"
)


class Changes(Settings):
    """What happens to the headers of a message."""

    remove: tuple[Name, ...] = Field((), description="Headers to drop")
    rename: dict[Name, Name] = Field(default_factory=dict, description="Old name to new name; replaces a header that has the new name")
    set: dict[Name, Value] = Field(default_factory=dict, description=f"Headers to give one value, replacing others. {_TEMPLATE}")
    add: dict[Name, Value | tuple[Value, ...]] = Field(
        default_factory=dict, description="Headers to add beside those of the same name, one value or several. Placeholders as in set"
    )


class HeadersPlugin(Plugin):
    """Remove, rename, set and add headers of requests and responses."""

    name = "headers"
    api = 1

    class Config(Plugin.Config):
        request: Changes = Field(default_factory=Changes, description="Before the request is forwarded")
        response: Changes = Field(
            default_factory=Changes, description="Before the response is sent, refusals included; {response:NAME} is one of its headers too"
        )

        @field_validator("request")
        @classmethod
        def _possible(cls, changes: Changes) -> Changes:
            if "host" in {
                name.lower() for name in (*changes.remove, *changes.rename, *changes.rename.values(), *changes.set, *changes.add)
            }:
                raise ValueError("the Host of a request is set by the route's `host`")
            if any("{response:" in value for value in (*changes.set.values(), *_flat(changes.add))):
                raise ValueError("there is no response yet")
            return changes

    def __init__(self, config: Any, policy: PolicyInfo) -> None:
        super().__init__(config, policy)
        self._request = tuple(_compile(config.request))
        self._response = tuple(_compile(config.response))
        self.unused = frozenset(
            hook for hook, changes in (("transform_request", self._request), ("transform_response", self._response)) if not changes
        )

    @hookimpl
    def transform_request(self, exchange: Exchange) -> None:
        headers = exchange.request.headers
        for change in self._request:
            change(headers, exchange)

    @hookimpl
    def transform_response(self, exchange: Exchange) -> None:
        if exchange.response is not None:
            headers = exchange.response.headers
            for change in self._response:
                change(headers, exchange)


def _compile(changes: Changes) -> list[Change]:
    """Return the changes as functions, in running order."""
    compiled: list[Change] = [_removal(name) for name in changes.remove]
    compiled += [_renaming(old, new) for old, new in changes.rename.items()]
    compiled += [_setting(name, value) for name, value in changes.set.items()]
    compiled += [_addition(name, value) for name, values in changes.add.items() for value in _flat({name: values})]
    return compiled


def _flat(added: dict[str, str | tuple[str, ...]]) -> list[str]:
    return [value for values in added.values() for value in ((values,) if isinstance(values, str) else values)]


def _removal(name: str) -> Change:
    lowered = name.lower().encode("ascii")
    return lambda headers, exchange: headers.discard(lowered)


def _renaming(old: str, new: str) -> Change:
    def rename(headers: Headers, exchange: Exchange) -> None:
        if old in headers:
            values = headers.get_all(old)
            headers.remove(old)
            headers.remove(new)
            for value in values:
                headers.add(new, value)

    return rename


def _setting(name: str, value: str) -> Change:
    template = compile_template(value)
    if not callable(template):
        field = Headers.prepare(name, template.decode("latin-1"))
        return lambda headers, exchange: headers.put(field)
    return _filling(name, template, Headers.put)


def _addition(name: str, value: str) -> Change:
    template = compile_template(value)
    if not callable(template):
        field = Headers.prepare(name, template.decode("latin-1"))
        return lambda headers, exchange: headers.append(field)
    return _filling(name, template, Headers.append)


def _filling(name: str, template: Fill, store: Callable[[Headers, Any], None]) -> Change:
    lowered, (spelt, _) = Headers.prepare(name, "")

    def fill(headers: Headers, exchange: Exchange) -> None:
        octets = template(exchange).strip()
        if octets:
            store(headers, (lowered, (spelt, octets)))  # safe by construction: see templates
        elif store is Headers.put:
            headers.discard(lowered)

    return fill
