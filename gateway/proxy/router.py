"""The router: from a request to the route that takes it, at a cost that does not grow with the number of routes.

The order is total and fixed. Of all rules (a route is one rule for each of its hosts, paths and versions) that fit, the one wins with

1. the higher ``priority``;
2. the more specific host: an exact name, then the longest wildcard, then none;
3. the more specific path, compared segment by segment from the left: a literal segment before ``{capture}``, before ``{rest...}``,
   before a regex, before what a prefix leaves open; so the longer prefix wins, and ``=/path`` wins over all. Of two regexes the one
   with the longer literal beginning wins, then the longer one;
4. more conditions (methods count once, each header and query parameter once, clients once);
5. the name that sorts first.

How it is fast: a dict from host to its tables, a dict of whole paths, a tree of segments. Rules are compared only when they sit at
the same node. A router never changes: ``updated`` makes a new one that shares every node the change did not touch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gateway.hooks.plugin import Reject
from gateway.model.exchange import Exchange
from gateway.proxy.router_rules import Entry, Rule, rules_of
from gateway.proxy.router_table import Node, Rules, Table, buckets

_MOST_CHAINS = 4096  # hosts remembered with their tables; clients may send any name, so there is a cap
_LABELS = 32  # labels of a host name tried as wildcards
#: Routes between two calls of ``pause``, about two milliseconds.
SLICE = 32


class Router:
    """Immutable: built once, shared by all exchanges of a snapshot."""

    __slots__ = ("_hosts", "_routes", "_versions", "_chains")

    def __init__(self) -> None:
        #: host pattern -> its rules; ``""`` is any host, ``.example.com`` is ``*.example.com``
        self._hosts: dict[str, Table] = {}
        self._routes: dict[str, tuple[Entry, Rules]] = {}
        #: beginnings of paths that name a version -> how many rules have it
        self._versions: Counter[str] = Counter()
        #: host -> (its tables from the most specific on, the highest priority in any of them); filled as hosts are seen
        self._chains: dict[str, tuple[tuple[Table, ...], int]] = {}

    @classmethod
    def build(cls, entries: Iterable[Entry], pause: Callable[[], object] | None = None) -> "Router":
        """Make a router. Patterns were checked when the configuration was compiled; a bad one raises ValueError.

        ``pause`` is called every now and then, to let other greenlets run.
        """
        return cls().updated((), entries, pause)

    def updated(self, removed_names: Iterable[str], added: Iterable[Entry], pause: Callable[[], object] | None = None) -> "Router":
        """Return a router without these routes and with those; an added one replaces one of the same name."""
        router = Router()
        router._hosts, router._routes, router._versions = self._hosts.copy(), self._routes.copy(), self._versions.copy()
        edit = object()
        for name in removed_names:
            router._remove(name, edit)
        for count, entry in enumerate(added, 1):
            router._remove(entry.route.name, edit)
            router._add(entry, edit)
            if pause is not None and count % SLICE == 0:
                pause()
        return router

    def _add(self, entry: Entry, edit: object) -> None:
        rules = tuple(rules_of(entry))
        self._routes[entry.route.name] = entry, rules
        for rule in rules:
            self._table(rule, edit).add(rule, edit)
            if rule.strip:
                self._versions[rule.strip] += 1

    def _remove(self, name: str, edit: object) -> None:
        if name not in self._routes:
            return
        for rule in self._routes.pop(name)[1]:
            table = self._table(rule, edit)
            table.remove(rule, edit)
            if not table.size:
                del self._hosts[rule.host.removeprefix("*")]
            if rule.strip:
                self._versions[rule.strip] -= 1
                if not self._versions[rule.strip]:
                    del self._versions[rule.strip]

    def _table(self, rule: Rule, edit: object) -> Table:
        key = rule.host.removeprefix("*")
        table = self._hosts.get(key)
        if table is None or table.edit is not edit:
            table = self._hosts[key] = Table(edit) if table is None else table.copy(edit)
        return table

    def find(self, exchange: Exchange) -> Any:
        """Return the target of the route that takes this request, or ``None``; then ``refusal`` says why.

        Sets ``exchange.captures`` and ``exchange.version`` when there are any, and removes the version from
        ``exchange.request.path`` when the path names it.
        """
        request = exchange.request
        chain = self._chains.get(request.host)
        tables, ceiling = self._chain(request.host) if chain is None else chain
        path = request.path
        parts = path.split("/")
        # The short way goes down the tree once, past captures too: below a literal segment that stands beside one, only what is
        # found there counts. It gives up where it would have to compare: a regex, another priority, conditions that fail.
        found: Rules | None
        for table in tables:
            found = table.exact.get(path)
            if found is None:
                node = table.top
                if node.wide:
                    break
                found = node.prefix
                for part in parts:
                    child: Node | None = node.children.get(part)
                    if child is None:
                        child = node.capture
                        if child is None or not part:
                            break
                    elif node.capture is not None:
                        found = None
                    node = child
                    if node.wide:
                        found = None
                        break
                    if node.prefix:
                        found = node.prefix
                else:
                    if node.ending:
                        found = node.ending
                if found is None:
                    break
            if found:
                for rule in found:
                    if rule.priority != ceiling or rule.choice is not None:
                        break
                    if rule.test is None or rule.test(exchange):
                        if rule.plain:
                            return rule.target
                        if rule.take is not None:
                            exchange.captures = rule.take(parts)
                            return rule.target
                        return self._take(rule, exchange, parts)
                break
        else:
            return None
        winner = self._search(exchange, tables, ceiling, parts)
        return None if winner is None else self._take(winner, exchange, parts)

    def _search(self, exchange: Exchange, tables: tuple[Table, ...], ceiling: int, parts: list[str]) -> Rule | None:
        best: Rule | None = None
        for table in tables:
            if best is not None and table.ceiling <= best.priority:
                continue
            found: list[Rules] = []
            exact = table.exact.get(exchange.request.path)
            if exact is not None:
                found.append(exact)
            buckets(table.top, parts, 0, found)
            for rules in found:
                for rule in rules:
                    if best is not None and rule.priority <= best.priority:
                        break  # what is left in this bucket is no better
                    if self._fits(rule, exchange):
                        best = rule
                        break
                if best is not None and best.priority == ceiling:
                    return best
        return best

    def _fits(self, rule: Rule, exchange: Exchange) -> bool:
        if rule.test is not None and not rule.test(exchange):
            return False
        pattern = rule.pattern
        if pattern.regex is not None and not pattern.regex.search(_stripped(rule, exchange.request.path)):
            return False
        choice = rule.choice
        if choice is None or not rule.entry.route.versions:
            return True
        version = rule.version_of(exchange)
        return version not in choice.names or version in rule.entry.route.versions

    def _take(self, rule: Rule, exchange: Exchange, parts: list[str]) -> Any:
        """Hand the exchange to a rule; ``None`` when the version it asks for does not exist (any more)."""
        if rule.plain:
            return rule.target
        version: str | None = rule.version
        if rule.choice is not None:
            version = rule.version_of(exchange)
            if version not in rule.choice.names:
                return None
        if version:
            if rule.is_gone(version):
                return None
            exchange.version = version
        path = exchange.request.path
        if rule.strip:
            path = exchange.request.path = _stripped(rule, path)
        captures = rule.capture(path, parts)
        if captures:
            exchange.captures = captures
        return rule.target

    def _chain(self, host: str) -> tuple[tuple[Table, ...], int]:
        """Return the tables whose host pattern fits, the most specific first."""
        tables = [self._hosts.get(host)] if host else []
        dot = host.find(".")
        for _ in range(_LABELS):
            if dot < 0:
                break
            tables.append(self._hosts.get(host[dot:]))
            dot = host.find(".", dot + 1)
        tables.append(self._hosts.get(""))
        found = tuple(table for table in tables if table is not None)
        chain = found, max((table.ceiling for table in found), default=0)
        if len(self._chains) >= _MOST_CHAINS:
            self._chains.clear()
        self._chains[host] = chain
        return chain

    def candidates(self, host: str, path: str) -> Iterator[Rule]:
        """Yield the rules whose host and path fit, in order; conditions and versions are not looked at."""
        found: list[Rules] = []
        for table in self._chain(host)[0]:
            exact = table.exact.get(path)
            if exact is not None:
                found.append(exact)
            buckets(table.top, path.split("/"), 0, found)
        for rule in sorted((rule for rules in found for rule in rules), key=lambda rule: rule.rank):
            if rule.pattern.regex is None or rule.pattern.regex.search(_stripped(rule, path)):
                yield rule

    def allowed_methods(self, exchange: Exchange) -> tuple[str, ...]:
        """Return the methods that would have found a route, sorted; empty when the method is not what is wrong."""
        methods: set[str] = set()
        for rule in self.candidates(exchange.request.host, exchange.request.path):
            others = rule.conditions.test_others
            if others is None or others(exchange):
                methods |= rule.conditions.methods
        return tuple(sorted(methods))

    def refusal(self, exchange: Exchange) -> Reject:
        """Say why ``find`` returned ``None``: 404 ``no_route`` or ``unknown_version``, 410 ``version_sunset``, 405 with Allow."""
        request = exchange.request
        for rule in self.candidates(request.host, request.path):
            if (rule.test is not None and not rule.test(exchange)) or not self._fits(rule, exchange):
                continue
            version = rule.version_of(exchange)
            if rule.choice is not None and version not in rule.choice.names:
                return Reject(404, "unknown_version", f"API {rule.api_name} has no version {version or '(none named)'}")
            return Reject(410, "version_sunset", f"version {version} of API {rule.api_name} is no longer served")
        methods = self.allowed_methods(exchange)
        if methods:
            return Reject(405, "method_not_allowed", f"{request.method} {request.host}{request.path}", [("Allow", ", ".join(methods))])
        first, slash, rest = request.path[1:].partition("/")
        for version in self._versions:  # would it have been found under another version?
            for rule in self.candidates(request.host, version + slash + rest):
                if rule.strip == version and not rule.has_version(first):
                    return Reject(404, "unknown_version", f"API {rule.api_name} has no version {first}")
        return Reject(404, "no_route", f"{request.method} {request.host}{request.path}")

    def entries(self) -> Iterator[tuple[Entry, Rules]]:
        """Yield every route with its rules; a route that is switched off has none."""
        yield from self._routes.values()


def _stripped(rule: Rule, path: str) -> str:
    """Return the path without the version's segment."""
    return path[len(rule.strip) :] or "/" if rule.strip else path


__all__ = ["Entry", "Router", "Rule"]
