"""Why a request goes where it goes: every route with its verdict, the winner first, then those that came closest."""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.http.headers import Headers
from gateway.http.message import Request
from gateway.http.target import parse_authority, parse_target
from gateway.model.exchange import Exchange
from gateway.model.route import Route
from gateway.proxy.router import Entry, Router, Rule

#: how one place of ``Rule.rank`` after the other is told
_PRIORITY, _HOST_KIND, _HOST_LENGTH, _PATH, _CONDITIONS, _NAME = range(6)


class Verdict(NamedTuple):
    """What became of a route, and why."""

    route: Route
    #: ``chosen``; ``refused`` (it was chosen, but not its version); ``outranked`` (it fits too); ``no_match``; ``disabled``
    verdict: str
    #: sentences
    reason: str


def exchange_for(method: str, url: str, headers: Iterable[tuple[str, str]] = (), client: str = "127.0.0.1") -> Exchange:
    """Make the exchange that a request would be. ``url`` may be a path alone; a Host header says more than its host.

    Raises ProtocolError where a client would get a 400.
    """
    fields = Headers.of(headers)
    method = method.upper()
    path, query, authority, scheme = parse_target(
        method, url if "://" in url or url.startswith(("/", "*")) or method == "CONNECT" else f"http://{url}"
    )
    if "Host" in fields:
        authority = parse_authority(fields.get("Host") or "")
    host = authority.host if authority is not None else ""
    if host and "Host" not in fields:
        fields.add("Host", host)
    request = Request(method, path, query=query, scheme=scheme or "http", host=host, headers=fields)
    return Exchange(request, client, 0.0)


def explain(router: Router, exchange: Exchange) -> list[Verdict]:
    """Return a verdict on every route of the router, in the order of interest. The exchange is not changed."""
    fitting: list[Rule] = []
    failing: list[tuple[int, str, Verdict]] = []
    for entry, rules in router.entries():
        if not rules:
            why = "It is switched off" if not entry.route.enabled else "Its API has none of the versions it serves"
            failing.append((99, entry.route.name, Verdict(entry.route, "disabled", f"{why}.")))
            continue
        failures = _failures(entry, rules, exchange)
        if failures:
            failing.append((len(failures), entry.route.name, Verdict(entry.route, "no_match", _sentence(failures))))
        else:
            fitting.append(min((rule for rule in rules if _reaches(rule, exchange)), key=lambda rule: rule.rank))
    fitting.sort(key=lambda rule: rule.rank)
    verdicts = [_chosen(fitting[0], exchange)] if fitting else []
    verdicts += [Verdict(rule.entry.route, "outranked", _outranked(rule, fitting[0])) for rule in fitting[1:]]
    return verdicts + [verdict for _, _, verdict in sorted(failing, key=lambda item: item[:2])]


def _failures(entry: Entry, rules: tuple[Rule, ...], exchange: Exchange) -> list[str]:
    request, first = exchange.request, rules[0]
    failures = []
    hosts = list(dict.fromkeys(rule.host for rule in rules))
    if not any(_host_fits(host, request.host) for host in hosts):
        failures.append(f"host {request.host or '(none)'} is not {_or(hosts)}")
    if not any(rule.path_fits(request.path) for rule in rules):
        paths = dict.fromkeys(f"{rule.pattern.text} in version {rule.version}" if rule.strip else rule.pattern.text for rule in rules)
        failures.append(f"path {request.path} does not fit {_or(list(paths))}")
    conditions = first.conditions
    if conditions.methods and request.method not in conditions.methods:
        failures.append(f"method {request.method} is not {_or(sorted(conditions.methods))}")
    failures += [f"it wants {asked}" for asked, test in conditions.checks if not test(exchange)]
    if first.choice is not None and entry.route.versions:
        version = first.version_of(exchange)
        if version in first.choice.names and version not in entry.route.versions:
            failures.append(f"it serves version {_or(list(entry.route.versions))}, not {version}")
    return failures


def _reaches(rule: Rule, exchange: Exchange) -> bool:
    return _host_fits(rule.host, exchange.request.host) and rule.path_fits(exchange.request.path)


def _host_fits(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return not pattern or pattern == host


def _chosen(rule: Rule, exchange: Exchange) -> Verdict:
    version = rule.version_of(exchange)
    if rule.choice is not None and version not in rule.choice.names:
        return Verdict(rule.entry.route, "refused", f"It fits, but its API has no version {version or '(none named)'}: 404.")
    if rule.is_gone(version):
        return Verdict(rule.entry.route, "refused", f"It fits, but version {version} is past its sunset: 410.")
    how = f"host {rule.host} and path {rule.pattern.text}" if rule.host else f"path {rule.pattern.text}"
    asked = "".join(f", {asked}" for asked, _ in rule.conditions.checks)
    return Verdict(rule.entry.route, "chosen", f"It fits by {how}{asked}" + (f", version {version}." if version else "."))


def _outranked(rule: Rule, winner: Rule) -> str:
    name, better = rule.entry.route.name, winner.entry.route.name
    place = next(index for index, (ours, theirs) in enumerate(zip(rule.rank, winner.rank, strict=True)) if ours != theirs)
    if place == _PRIORITY:
        return f"It fits too, but priority {rule.priority} is below the {winner.priority} of {better}."
    if place in (_HOST_KIND, _HOST_LENGTH):
        return f"It fits too, but {rule.host or 'any host'} is less specific than {winner.host} of {better}."
    if place == _PATH:
        return f"It fits too, but path {rule.pattern.text} is less specific than {winner.pattern.text} of {better}."
    if place == _CONDITIONS:
        return f"It fits too, but has {rule.conditions.count} conditions beside host and path, {better} has {winner.conditions.count}."
    return f"It fits equally well, and {name} comes after {better} in the alphabet."


def _sentence(failures: list[str]) -> str:
    text = "; ".join(failures)
    return text[0].upper() + text[1:] + "."


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
