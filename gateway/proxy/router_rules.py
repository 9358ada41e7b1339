"""Rules: what a route's match becomes. One rule for each host, path and version, with its place in the total order."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gateway.model.exchange import Exchange
from gateway.model.patterns import LITERAL, PathPattern, compile_networks, compile_value, groups_of, normal_host, parse_path
from gateway.model.route import Api, Match, Route
from gateway.proxy.versions import NEVER, VersionChoice, choice_of, parse_query

Test = Callable[[Exchange], bool]


class Entry(NamedTuple):
    """A route to match, the API it belongs to, and what ``Router.find`` returns for it."""

    route: Route
    api: Api | None
    target: Any


class Rule:
    """One way to reach a route. ``rank`` is its place among all rules: the lowest that fits wins."""

    __slots__ = (
        "entry", "target", "priority", "rank", "host", "pattern", "test", "conditions", "plain", "take",
        "choice", "version", "strip", "offset", "gone_at",
    )  # fmt: skip

    def __init__(
        self,
        entry: Entry,
        host: str,
        pattern: PathPattern,
        conditions: "Conditions",
        choice: VersionChoice | None = None,
        version: str = "",
    ) -> None:
        route = entry.route
        self.entry = entry
        self.target = entry.target
        self.priority = route.priority
        self.host = host
        self.pattern = pattern
        self.conditions = conditions
        self.test = conditions.test
        #: how to find the version in a header or the query; ``None`` when there is none or the path says it
        self.choice = choice
        #: the version that being reached by this rule means
        self.version = version
        #: leading part of the path that names the version, removed on the way
        self.strip = ""
        #: number of segments in ``strip``
        self.offset = 0
        #: when this version's sunset is over, as unix time
        self.gone_at = NEVER
        named = bool(pattern.captures or pattern.rest or (pattern.regex is not None and pattern.regex.groupindex))
        #: nothing is to be noted on the exchange
        self.plain = not (choice or version or named)
        #: makes the captures of ``path.split("/")`` where they are all that is to be noted
        self.take = pattern.take if pattern.kind == "template" and not (choice or version) else None
        self.rank = (-route.priority, *host_rank(host), pattern.rank, -conditions.count, route.name, host, pattern.text, version)

    def at(self, segment: str) -> "Rule":
        """Expect the version as the first path segment."""
        self.strip, self.offset = "/" + segment, 1
        prefix = (LITERAL, LITERAL) if not self.pattern.segments else (LITERAL,)
        self.rank = (*self.rank[:3], prefix + self.pattern.rank, *self.rank[4:])
        return self

    def capture(self, path: str, parts: list[str]) -> dict[str, str]:
        """Return the captures of a path that this rule fits, without the version's segment."""
        pattern = self.pattern
        if pattern.regex is not None:
            found = pattern.regex.search(path)
            return groups_of(found) if found is not None else {}
        return pattern.take(parts[self.offset :] if self.offset else parts)

    def path_fits(self, path: str) -> bool:
        """Whether a path fits, without the tree; for explanations."""
        if self.strip:
            if path != self.strip and not path.startswith(self.strip + "/"):
                return False
            path = path[len(self.strip) :] or "/"
        return self.pattern.captured(path) is not None

    def has_version(self, version: str) -> bool:
        """Whether this rule's API has a version of this name."""
        choice = choice_of(self.entry.api) if self.entry.api is not None else None
        return choice is not None and version in choice.names

    def is_gone(self, version: str | None) -> bool:
        """Whether this version is past its sunset."""
        gone_at = self.choice.gone_at(version or "") if self.choice is not None else self.gone_at
        return gone_at <= time.time()

    def version_of(self, exchange: Exchange) -> str | None:
        """Return the version that a request means to this rule's API, known or not."""
        choice = self.choice
        if choice is None:
            return self.version or None
        return choice.asked(exchange.request) or choice.default

    @property
    def api_name(self) -> str:
        """Name of the API that the route belongs to, for messages."""
        return self.entry.api.name if self.entry.api is not None else ""


class Conditions:
    """What a match asks for beside host and path. ``test`` is ``None`` when there is nothing to ask."""

    __slots__ = ("methods", "test", "test_others", "count", "checks")

    def __init__(self, match: Match) -> None:
        methods = frozenset(match.methods)
        self.methods = methods | {"HEAD"} if "GET" in methods else methods
        #: (what is asked for, in words; its test), cheapest first
        self.checks: list[tuple[str, Test]] = []
        for name, wanted in match.headers.items():
            self.checks.append((f"header {name}{_worded(wanted)}", _header_test(name, wanted)))
        if match.clients:
            inside = compile_networks(match.clients)
            self.checks.append((f"a client in {', '.join(match.clients)}", lambda exchange: inside(exchange.client)))
        for name, wanted in match.query.items():
            self.checks.append((f"query parameter {name}{_worded(wanted)}", _query_test(name, wanted)))
        self.count = len(match.headers) + len(match.query) + bool(match.clients) + bool(methods)
        self.test_others = _all_of([test for _, test in self.checks])
        self.test = self._whole()

    def _whole(self) -> Test | None:
        methods, others = self.methods, self.test_others
        if not methods:
            return others
        if others is None:
            return lambda exchange: exchange.request.method in methods
        return lambda exchange: exchange.request.method in methods and others(exchange)


def host_rank(host: str) -> tuple[int, int]:
    """Exact names first, then wildcards from the longest to the shortest, then any."""
    if not host:
        return 2, 0
    return (1, -host.count(".")) if host.startswith("*.") else (0, 0)


def rules_of(entry: Entry) -> Iterator[Rule]:
    """Make the rules of an entry; none when the route is switched off."""
    route, api = entry.route, entry.api
    if not route.enabled:
        return
    conditions = Conditions(route.match)
    choice = choice_of(api) if api is not None and api.versioning is not None else None
    hosts = route.match.hosts or (api.hosts if api is not None else ()) or ("",)
    for host in dict.fromkeys(map(normal_host, hosts)):
        for text in dict.fromkeys(route.match.paths):
            pattern = parse_path(text)
            if choice is None:
                yield Rule(entry, host, pattern, conditions)
            elif choice.by != "path":
                yield Rule(entry, host, pattern, conditions, choice)
            else:
                yield from _by_path(entry, host, pattern, conditions, choice)


def _by_path(entry: Entry, host: str, pattern: PathPattern, conditions: Conditions, choice: VersionChoice) -> Iterator[Rule]:
    served = entry.route.versions
    for version in choice.names:
        if served and version not in served:
            continue
        rule = Rule(entry, host, pattern, conditions, None, version).at(version)
        rule.gone_at = choice.gone_at(version)
        yield rule
        if version == choice.default:
            rule = Rule(entry, host, pattern, conditions, None, version)
            rule.gone_at = choice.gone_at(version)
            yield rule


def _worded(wanted: str) -> str:
    if not wanted:
        return ""
    return f" matching {wanted[1:]}" if wanted.startswith("~") else f": {wanted}"


def _header_test(name: str, wanted: str) -> Test:
    key = name.lower().encode("latin-1")
    if not wanted:
        return lambda exchange: key in exchange.request.headers.index
    if not wanted.startswith("~"):
        octets = wanted.encode("latin-1", "replace")
        return lambda exchange: exchange.request.headers.index.get(key) == octets
    fits = compile_value(wanted)

    def test(exchange: Exchange) -> bool:
        value = exchange.request.headers.index.get(key)
        return value is not None and fits(value.decode("latin-1"))

    return test


def _query_test(name: str, wanted: str) -> Test:
    fits = compile_value(wanted)

    def test(exchange: Exchange) -> bool:
        query = exchange.request.query
        return bool(query) and any(fits(value) for value in parse_query(query).get(name, ()))

    return test


def _all_of(tests: list[Test]) -> Test | None:
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda exchange: all(test(exchange) for test in tests)
