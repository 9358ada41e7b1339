"""What the backend sees instead of what the client asked for: path and Host, precompiled per route."""

import re
from collections.abc import Callable
from urllib.parse import quote

from gateway.model.exchange import Exchange
from gateway.model.patterns import PathPattern, parse_path
from gateway.model.route import Route

Rewriter = Callable[[Exchange], None]
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SEGMENT = "!$&'()*+,;=:@"  # what a path segment may hold beside unreserved characters (RFC 3986, section 3.3)


def rewriter(route: Route) -> Rewriter | None:
    """Return what changes an exchange's request before it is forwarded, once; ``None`` when there is nothing to do.

    The policy ``host: backend`` is not among it, because the member is known only later: see ``member_host``.
    """
    steps = [step for step in (_path_step(route), _host_step(route)) if step is not None]
    if len(steps) < 2:
        return steps[0] if steps else None
    first, second = steps

    def both(exchange: Exchange) -> None:
        first(exchange)
        second(exchange)

    return both


def member_host(route: Route) -> bool:
    """Whether the backend's Host is the address of the member (``host: backend``), set anew for each attempt."""
    return route.host == "backend"


def set_host(exchange: Exchange, value: bytes) -> None:
    """Give the request this Host, in the place where it was."""
    headers = exchange.request.headers
    for index, (name, _) in enumerate(headers.fields):
        if len(name) == 4 and name.lower() == b"host":
            headers.fields[index] = name, value
            break
    else:
        headers.fields.insert(0, (b"Host", value))
    headers.index[b"host"] = value


def check_rewrite(route: Route) -> str | None:
    """Return what is wrong with ``rewrite_path``, given the route's paths, or ``None``."""
    template = route.rewrite_path
    if template is None:
        return None
    if route.strip_path:
        return "strip_path and rewrite_path exclude each other: write {rest} into rewrite_path"
    if not template.startswith(("/", "{path}", "{rest}")):
        return "a rewritten path begins with /"
    known = {"path", "rest", "version"}
    for text in route.match.paths:
        missing = set(_FIELD.findall(template)) - parse_path(text).names() - known
        if missing:
            return f"{{{min(missing)}}} is not captured by the path {text}"
    if "{" in _FIELD.sub("", template) or "}" in _FIELD.sub("", template):
        return "a brace is neither part of {name} nor allowed in a path"
    return None


def _host_step(route: Route) -> Rewriter | None:
    if route.host in ("preserve", "backend"):
        return None
    octets = route.host.encode("latin-1")
    return lambda exchange: set_host(exchange, octets)


def _path_step(route: Route) -> Rewriter | None:
    template = route.rewrite_path
    if template is None and not route.strip_path:
        return None
    # the order in which the router prefers them
    patterns = sorted((parse_path(text) for text in route.match.paths), key=lambda pattern: pattern.rank)
    if template is None:
        if all(not pattern.literal for pattern in patterns):
            return None
        return _strip(patterns)
    pieces = _FIELD.split(template)
    if len(pieces) == 1:
        return _constant(template)
    return _fill(patterns, pieces)


def _strip(patterns: list[PathPattern]) -> Rewriter:
    if len(patterns) == 1 and patterns[0].kind == "prefix":
        cut = len(patterns[0].literal)

        def strip_one(exchange: Exchange) -> None:
            exchange.request.path = exchange.request.path[cut:] or "/"

        return strip_one

    def strip(exchange: Exchange) -> None:
        request = exchange.request
        request.path = _rest(patterns, request.path)

    return strip


def _constant(path: str) -> Rewriter:
    def rewrite(exchange: Exchange) -> None:
        exchange.request.path = path

    return rewrite


def _fill(patterns: list[PathPattern], pieces: list[str]) -> Rewriter:
    """``pieces``: text, name, text, name, text … of the template."""
    whole = {name for pattern in patterns for name in pattern.names() if name not in {one for _, one in pattern.captures}}

    def rewrite(exchange: Exchange) -> None:
        path = exchange.request.path
        filled = []
        for index, piece in enumerate(pieces):
            if not index % 2:
                filled.append(piece)
            elif piece == "path":
                filled.append(path)
            elif piece == "rest":
                filled.append(_rest(patterns, path))
            elif piece == "version":
                filled.append(quote(exchange.version, safe=_SEGMENT))
            else:
                value = exchange.captures.get(piece, "")
                filled.append(value if piece in whole else quote(value, safe=_SEGMENT))
        exchange.request.path = _joined(filled)

    return rewrite


def _rest(patterns: list[PathPattern], path: str) -> str:
    """Return the path after the literal part of the route's pattern that it fits; always begins with a slash."""
    for pattern in patterns:
        if pattern.captured(path) is not None:
            return path[len(pattern.literal) :] or "/"
    return path


def _joined(pieces: list[str]) -> str:
    """Join text and values; between two of them one slash is enough."""
    path = ""
    for piece in pieces:
        path += piece[1:] if path.endswith("/") and piece.startswith("/") else piece
    return path
