"""The tree of path segments under one host pattern: made once, changed by copying only what lies on the way.

Where rules sit: ``/users`` at the node of ``users``; ``=/users`` in a dict of whole paths; a template at the node where it
ends, captures being a child of their own; a regex at the node of the literal segments it begins with.
"""

from typing import Any

from gateway.proxy.router_rules import Rule

Rules = tuple[Rule, ...]


class Node:
    """A path segment. ``edit`` marks the change that made the node: that change may alter it, later ones copy it first."""

    __slots__ = ("children", "capture", "ending", "rest", "regexes", "prefix", "wide", "edit")

    def __init__(self, edit: object) -> None:
        self.children: dict[str, Node] = {}
        self.capture: Node | None = None
        #: templates that end here
        self.ending: Rules = ()
        #: templates whose last capture takes all that follows
        self.rest: Rules = ()
        self.regexes: Rules = ()
        self.prefix: Rules = ()
        #: there are rules here that the short way of ``Router.find`` does not know: ``rest`` or ``regexes``
        self.wide = False
        self.edit = edit

    def copy(self, edit: object) -> "Node":
        """Return a node for this change to alter."""
        node = Node(edit)
        node.children = self.children.copy()
        node.capture, node.ending, node.rest, node.regexes, node.prefix = self.capture, self.ending, self.rest, self.regexes, self.prefix
        node.wide = self.wide
        return node

    def empty(self) -> bool:
        """Whether nothing needs this node."""
        return not (self.children or self.capture or self.ending or self.rest or self.regexes or self.prefix)


class Table:
    """All rules under one host pattern."""

    __slots__ = ("top", "exact", "priorities", "ceiling", "size", "edit")

    def __init__(self, edit: object) -> None:
        #: the node above the first slash: ``"/a".split("/")`` begins with an empty segment
        self.top = Node(edit)
        self.exact: dict[str, Rules] = {}
        self.priorities: dict[int, int] = {}
        #: the highest priority of any rule here
        self.ceiling = 0
        self.size = 0
        self.edit = edit

    def copy(self, edit: object) -> "Table":
        """Return a table for this change to alter."""
        table = Table(edit)
        table.top, table.exact, table.priorities = self.top.copy(edit), self.exact.copy(), self.priorities.copy()
        table.ceiling, table.size = self.ceiling, self.size
        return table

    def add(self, rule: Rule, edit: object) -> None:
        """Put a rule in. The table and all nodes marked ``edit`` are changed, others are copied."""
        self._count(rule.priority, 1)
        if rule.pattern.kind == "exact":
            for path in _paths(rule):
                self.exact[path] = _with(self.exact.get(path, ()), rule)
            return
        node = self.top
        for segment in _segments(rule):
            node = _child(node, segment, edit)
        slot = _slot(rule)
        setattr(node, slot, _with(getattr(node, slot), rule))
        node.wide = bool(node.rest or node.regexes)

    def remove(self, rule: Rule, edit: object) -> None:
        """Take a rule out, and the nodes that nothing needs any more."""
        self._count(rule.priority, -1)
        if rule.pattern.kind == "exact":
            for path in _paths(rule):
                self.exact[path] = _without(self.exact[path], rule)
                if not self.exact[path]:
                    del self.exact[path]
            return
        way: list[tuple[Node, str | None]] = []
        node = self.top
        for segment in _segments(rule):
            way.append((node, segment))
            node = _child(node, segment, edit)
        slot = _slot(rule)
        setattr(node, slot, _without(getattr(node, slot), rule))
        node.wide = bool(node.rest or node.regexes)
        for parent, segment in reversed(way):
            if not node.empty():
                break
            if segment is None:
                parent.capture = None
            else:
                del parent.children[segment]
            node = parent

    def _count(self, priority: int, change: int) -> None:
        self.size += change
        left = self.priorities.get(priority, 0) + change
        if left:
            self.priorities[priority] = left
        else:
            del self.priorities[priority]
        self.ceiling = max(self.priorities, default=0)


_SLOTS = {"prefix": "prefix", "template": "ending", "regex": "regexes"}


def _slot(rule: Rule) -> str:
    return "rest" if rule.pattern.rest else _SLOTS[rule.pattern.kind]


def _segments(rule: Rule) -> tuple[str | None, ...]:
    segments = rule.pattern.segments
    return ("", rule.strip[1:], *segments[1:]) if rule.strip else segments


def _paths(rule: Rule) -> tuple[str, ...]:
    """Return the whole paths that an exact rule takes; without its version, ``/v1`` is ``/`` just as ``/v1/`` is."""
    path = rule.strip + rule.pattern.literal
    return (path, rule.strip) if rule.strip and rule.pattern.literal == "/" else (path,)


def _child(node: Node, segment: str | None, edit: object) -> Node:
    """Return the child for a segment (``None``: the capture), made or copied so that this change may alter it."""
    child = node.capture if segment is None else node.children.get(segment)
    if child is None:
        child = Node(edit)
    elif child.edit is not edit:
        child = child.copy(edit)
    else:
        return child
    if segment is None:
        node.capture = child
    else:
        node.children[segment] = child
    return child


def _with(rules: Rules, rule: Rule) -> Rules:
    return tuple(sorted((*rules, rule), key=_rank))


def _without(rules: Rules, rule: Rule) -> Rules:
    return tuple(other for other in rules if other is not rule)


def _rank(rule: Rule) -> tuple[Any, ...]:
    return rule.rank


def buckets(node: Node, parts: list[str], index: int, found: list[Rules]) -> None:
    """Append the rules that a path may fit, by path from the most to the least specific; conditions are not looked at."""
    if index < len(parts):
        part = parts[index]
        child = node.children.get(part)
        if child is not None:
            buckets(child, parts, index + 1, found)
        if node.regexes:
            found.append(node.regexes)
        if node.capture is not None and part:
            buckets(node.capture, parts, index + 1, found)
    else:
        if node.ending:
            found.append(node.ending)
        if node.regexes:
            found.append(node.regexes)
    if node.rest:
        found.append(node.rest)
    if node.prefix:
        found.append(node.prefix)
