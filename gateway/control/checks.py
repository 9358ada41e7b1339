"""What objects have to do with each other: names, addresses, credentials, and routes that can never win."""

from collections.abc import Iterable, Mapping, Sequence

from gateway.control.problems import Findings, Problem, did_you_mean, path_text
from gateway.control.units import Unit

_WILDCARDS = ("0.0.0.0", "[::]")
_SINGULAR = {"pools": "pool", "apis": "API", "listeners": "listener"}
Units = Mapping[str, Sequence[Unit | None]]


def check_together(units: Units, findings: Findings) -> None:
    """Check everything that takes more than one object to see."""
    for kind, found in units.items():
        _check_names(kind, found, findings)
    _check_uses(units, findings)
    _check_listeners(units, findings)
    _check_versions(units, findings)
    _check_identical_routes(units["routes"], findings)


def _check_names(kind: str, units: Sequence[Unit | None], findings: Findings) -> None:
    names = [unit.name for unit in units if unit is not None]
    if len(set(names)) == len(names):
        return
    first: dict[str, int] = {}
    for index, unit in enumerate(units):
        if unit is not None and unit.name and first.setdefault(unit.name, index) != index:
            findings.error((kind, index, "name"), f"{unit.name!r} is the name of {kind}[{first[unit.name]}] already")


def _check_uses(units: Units, findings: Findings) -> None:
    names = {kind: {unit.name for unit in found if unit is not None} for kind, found in units.items() if kind in _SINGULAR}
    for kind in ("routes", "streams"):
        for index, unit in enumerate(units[kind]):
            for location, wanted, name in unit.uses if unit is not None else ():
                if name not in names[wanted]:
                    message = f"there is no {_SINGULAR[wanted]} {name!r}{did_you_mean(name, names[wanted])}"
                    findings.error((kind, index, *location), message)


def find_equal_credentials(units: Sequence[Unit | None], findings: Findings) -> None:
    """Report credentials that two consumers share."""
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for index, unit in enumerate(units):
        for plugin, key, _, position in unit.credentials if unit is not None else ():
            location = ("consumers", index, "credentials", position)
            if (plugin, key) in first:
                findings.error(location, "is the same as {}, of consumer {!r}".format(*first[plugin, key]))
            elif unit is not None:
                first[plugin, key] = path_text(location), unit.name


def _check_listeners(units: Units, findings: Findings) -> None:
    taken: dict[str, dict[str, int]] = {}
    protocols: dict[str, str] = {}
    for index, unit in enumerate(units["listeners"]):
        if unit is None or unit.entry is None:
            continue
        address = unit.entry["address"]
        protocols[unit.name] = protocol = unit.entry.get("protocol", "http")
        clash = _clash(address, "udp" if protocol == "udp" else "tcp", index, taken)
        if clash is not None:
            findings.error(("listeners", index, "address"), f"{address} is taken by listeners[{clash}] already")
    for index, unit in enumerate(units["streams"]):
        if unit is None or unit.entry is None:
            continue
        listener = unit.entry["listener"]
        if protocols.get(listener, "tcp") not in ("tcp", "udp"):
            findings.error(("streams", index, "listener"), f"listener {listener!r} speaks {protocols[listener]}; a stream needs tcp or udp")
    if "https" in protocols.values() and not any(units["certificates"]):
        index = list(protocols.values()).index("https")
        findings.warn(("listeners", index, "protocol"), "there are no certificates: no client can connect")
    served = [unit.entry["listener"] for unit in units["streams"] if unit is not None and unit.entry is not None]
    for index, unit in enumerate(units["listeners"]):
        if unit is not None and protocols.get(unit.name) in ("tcp", "udp"):
            if served.count(unit.name) == 0:
                findings.warn(("listeners", index), "no stream uses this listener: connections are closed at once")
            elif served.count(unit.name) > 1:
                findings.error(("listeners", index), "more than one stream uses this listener")


def _clash(address: str, transport: str, index: int, taken: dict[str, dict[str, int]]) -> int | None:
    """Return which listener has the address already. The wildcard address of a family takes a port on all of them."""
    host, _, port = address.rpartition(":")
    family = address.startswith("[")
    holders = taken.setdefault(f"{transport}:{port}:{family}", {})
    for holder, at in holders.items():
        if host == holder or _WILDCARDS[family] in (host, holder):
            return at
    holders[host] = index
    return None


def _check_versions(units: Units, findings: Findings) -> None:
    versions: dict[str, list[str] | None] = {}
    for unit in units["apis"]:
        if unit is not None and unit.entry is not None:
            versioning = unit.entry.get("versioning")
            versions[unit.name] = [version["name"] for version in versioning["versions"]] if versioning else None
    for index, unit in enumerate(units["routes"]):
        if unit is None or unit.entry is None or "versions" not in unit.entry:
            continue
        api = unit.entry.get("api")
        if api is None or (api in versions and versions[api] is None):
            wrong = "needs an API that has versions" if api is None else f"API {api!r} has no versions"
            findings.error(("routes", index, "versions"), wrong)
            continue
        known = versions.get(api)
        for position, version in enumerate(unit.entry["versions"]):
            if known is not None and version not in known:
                wrong = f"API {api!r} has no version {version!r}{did_you_mean(version, known)}"
                findings.error(("routes", index, "versions", position), wrong)


def _check_identical_routes(units: Sequence[Unit | None], findings: Findings) -> None:
    first: dict[bytes, int] = {}
    for index, unit in enumerate(units):
        if unit is not None and unit.match and first.setdefault(unit.match, index) != index:
            message = f"is the same as that of routes[{first[unit.match]}]: only one of the two is ever reached"
            findings.warn(("routes", index, "match"), message)


def rebased(unit: Unit, kind: str, index: int) -> Iterable[Problem]:
    """Return a unit's own warnings with the place where it stands now."""
    for location, message in unit.warnings:
        whole = (kind, index, *location)
        yield Problem(path_text(whole), message, whole)
