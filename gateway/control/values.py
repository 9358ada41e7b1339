"""Values that a pydantic field cannot judge: patterns, networks, captures, certificates."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.control.certificates import check_authorities, check_pair
from gateway.control.problems import Findings, Location, did_you_mean
from gateway.control.references import References
from gateway.model.patterns import check_host, check_network, check_pattern, check_value, parse_path

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
Check = Callable[[str], str | None]


def check_values(kind: str, raw: Mapping[str, Any], findings: Findings, references: References) -> None:
    """Check what the model of this kind leaves open. Wrong types are the model's business and passed over here."""
    if kind == "routes":
        _check_route(raw, findings)
    elif kind == "listeners":
        for key in ("proxy_protocol", "trusted_proxies"):
            _each(raw.get(key), (key,), check_network, findings)
    elif kind == "apis":
        _each(raw.get("hosts"), ("hosts",), check_host, findings)
        _check_versioning(raw.get("versioning"), findings)
    elif kind == "certificates":
        _each(raw.get("hosts"), ("hosts",), check_host, findings)
        check_pair(raw, findings, references)
    elif kind == "pools":
        _check_pool(raw, findings, references)
    if kind == "policies":
        _check_when(raw, findings)
    for index, policy in enumerate(_list(raw.get("policies"))):
        if isinstance(policy, Mapping):
            _check_when(policy, findings.below("policies", index))
            check_not_seen(policy, findings.below("policies", index))
    for place, part in (((), raw), (("tls",), raw.get("tls")), (("balancer",), raw.get("balancer"))):
        check_not_seen(part, findings.below(*place))


def _check_route(raw: Mapping[str, Any], findings: Findings) -> None:
    match = raw.get("match")
    patterns = []
    if isinstance(match, Mapping):
        below = findings.below("match")
        _each(match.get("hosts"), ("hosts",), check_host, below)
        _each(match.get("paths"), ("paths",), check_pattern, below)
        _each(match.get("clients"), ("clients",), check_network, below)
        for key in ("headers", "query"):
            _each_value(match.get(key), (key,), below)
        patterns = [path for path in _list(match.get("paths")) if isinstance(path, str) and check_pattern(path) is None]
    pool, compose = raw.get("pool"), raw.get("compose")
    if pool is None and compose is None:
        findings.error(("pool",), "is required: a route needs a pool, or compose")
    elif pool is not None and compose is not None:
        findings.error(("compose",), "a route has either a pool or compose, not both")
    captures = frozenset.intersection(*(parse_path(path).names() for path in patterns)) if patterns else frozenset()
    rewrite = raw.get("rewrite_path")
    _check_captures(rewrite, ("rewrite_path",), captures, findings)
    if isinstance(rewrite, str) and not rewrite.startswith(("/", "{path}", "{rest}")):
        findings.error(("rewrite_path",), "should begin with /, {path} or {rest}")
    if rewrite is not None and raw.get("strip_path") is True:
        findings.error(("rewrite_path",), "excludes strip_path: write {rest} where the remaining path belongs")
    if isinstance(compose, Mapping):
        names: set[str] = set()
        for index, part in enumerate(_list(compose.get("parts"))):
            if isinstance(part, Mapping):
                _check_captures(part.get("path"), ("compose", "parts", index, "path"), captures, findings)
                if part.get("name") in names:
                    findings.error(("compose", "parts", index, "name"), f"another part is called {part['name']!r} already")
                names.add(str(part.get("name")))
    host = raw.get("host")
    if isinstance(host, str) and host not in ("preserve", "backend") and (wrong := check_host(host)):
        findings.error(("host",), f"should be preserve, backend or a host name: {wrong}")


def _check_captures(template: Any, location: Location, captures: frozenset[str], findings: Findings) -> None:
    known = captures | {"path", "rest", "version"}
    if not isinstance(template, str):
        return
    for name in _CAPTURE.findall(template):
        if name not in known:
            findings.error(location, f"{{{name}}} is not a capture of every path of this route{did_you_mean(name, known)}")
    if "{" in (literal := _CAPTURE.sub("", template)) or "}" in literal:
        findings.error(location, "has a brace that is no part of a {name}")


def _check_versioning(versioning: Any, findings: Findings) -> None:
    if not isinstance(versioning, Mapping):
        return
    names: set[str] = set()
    for index, version in enumerate(_list(versioning.get("versions"))):
        if isinstance(version, Mapping):
            name = version.get("name")
            if isinstance(name, str) and name in names:
                findings.error(("versioning", "versions", index, "name"), f"another version is called {name!r} already")
            names.add(str(name))
    default = versioning.get("default")
    if isinstance(default, str) and default not in names:
        findings.error(("versioning", "default"), f"there is no version {default!r}{did_you_mean(default, names)}")


def _check_pool(raw: Mapping[str, Any], findings: Findings, references: References) -> None:
    members = [member for member in _list(raw.get("members")) if isinstance(member, Mapping)]
    addresses: dict[Any, int] = {}
    for index, member in enumerate(_list(raw.get("members"))):
        address = member.get("address") if isinstance(member, Mapping) else None
        if isinstance(address, str) and addresses.setdefault(address, index) != index:
            wrong = f"is the address of members[{addresses[address]}] already; use weight for a larger share"
            findings.error(("members", index, "address"), wrong)
    if not members:
        findings.warn(("members",), "the pool has no members: every request to it is answered 503")
    elif all(member.get("weight") == 0 or member.get("state") in ("drain", "maintenance") for member in members):
        findings.warn(("members",), "no member takes new requests: each is drained, in maintenance or has weight 0")
    tls = raw.get("tls")
    if isinstance(tls, Mapping):
        below = findings.below("tls")
        if tls.get("verify") is False:
            below.warn(("verify",), "members are not verified: whoever can redirect traffic can read it")
        if isinstance(tls.get("ca"), str):
            check_authorities(tls["ca"], below, references)
        if tls.get("certificate") is not None or tls.get("key") is not None:
            check_pair(tls, below, references)


def _check_when(policy: Mapping[str, Any], findings: Findings) -> None:
    when = policy.get("when")
    if isinstance(when, Mapping):
        below = findings.below("when")
        _each(when.get("paths"), ("paths",), check_pattern, below)
        _each_value(when.get("headers"), ("headers",), below)


def check_not_seen(part: Any, findings: Findings) -> None:
    """``seen`` is a field for the compile step alone."""
    if isinstance(part, Mapping) and "seen" in part:
        findings.error(("seen",), "unknown key")


def _each(values: Any, location: Location, check: Check, findings: Findings) -> None:
    for index, value in enumerate(_list(values)):
        if isinstance(value, str) and (wrong := check(value)):
            findings.error((*location, index), wrong)


def _each_value(values: Any, location: Location, findings: Findings) -> None:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if isinstance(value, str) and (wrong := check_value(value)):
            findings.error((*location, str(key)), wrong)


def _list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else ()
