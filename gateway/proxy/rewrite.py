"""What the backend sees instead of what the client asked for: path, query and Host, precompiled per route."""

import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote

from gateway.http.errors import GatewayError
from gateway.model.exchange import Exchange
from gateway.model.patterns import PathPattern, parse_path
from gateway.model.route import Route

Rewriter = Callable[[Exchange], None]
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SEGMENT = "!$&'()*+,;=:@"  # what a path segment may hold beside unreserved characters (RFC 3986, section 3.3)
_DOTS = re.compile(r"/\.{1,2}(?:/|$)")


def rewriter(route: Route) -> Rewriter | None:
    """Return what changes an exchange's request before it is forwarded; ``None`` when there is nothing to do.

    To be called once per exchange. The policy ``host: backend`` is not part of it, because the member is chosen later
    and may change with each try: see ``set_host`` and ``authority_of``.
    """
    steps = [step for step in (_path_step(route), _host_step(route)) if step is not None]
    if len(steps) < 2:
        return steps[0] if steps else None
    first, second = steps

    def both(exchange: Exchange) -> None:
        first(exchange)
        second(exchange)

    return both


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


def authority_of(address: str) -> bytes:
    """Return the Host that names a member by its address; a socket in the file system has no name but this machine's."""
    return b"localhost" if address.startswith("unix:") else address.encode("latin-1")


class Template:
    """A path, with or without a query, in which ``{captures}``, ``{path}``, ``{rest}`` and ``{version}`` are filled in.

    Values are encoded for the place where they go, so a capture never ends a segment or a query parameter, and a result
    with a ``.`` or ``..`` segment is refused (400): a capture must not climb out of the path it is put into.
    """

    __slots__ = ("_patterns", "_raw", "_path", "_query")

    def __init__(self, text: str, paths: Iterable[str]) -> None:
        path, mark, query = text.partition("?")
        #: the route's patterns in the router's order: the first that fits is the one that was matched
        self._patterns = ordered(paths)
        #: captures that may span segments, and are therefore still percent-encoded
        self._raw = frozenset(name for pattern in self._patterns for name in pattern.names() - {segment for _, segment in pattern.captures})
        self._path = _FIELD.split(path)  # text, name, text, name, text …
        self._query = _FIELD.split(query) if mark else None

    def fill(self, exchange: Exchange) -> tuple[str, str | None]:
        """Return path and query; the query is ``None`` when the template has no ``?``."""
        pieces, path = self._path, ""
        for index, piece in enumerate(pieces):
            text = self._value(piece, exchange) if index % 2 else piece
            path += text[1:] if path.endswith("/") and text.startswith("/") else text
        if "/." in path and _DOTS.search(path):
            raise GatewayError(f"{path} has a dot segment", status=400, code="bad_target")
        if self._query is None:
            return path, None
        query = [self._quoted(piece, exchange) if index % 2 else piece for index, piece in enumerate(self._query)]
        return path, "".join(query)

    def _value(self, name: str, exchange: Exchange) -> str:
        if name == "path":
            return exchange.request.path
        if name == "rest":
            return rest_of(self._patterns, exchange.request.path)
        if name == "version":
            return quote(exchange.version, safe=_SEGMENT)
        value = exchange.captures.get(name, "")
        return value if name in self._raw else quote(value, safe=_SEGMENT)

    def _quoted(self, name: str, exchange: Exchange) -> str:
        if name in ("path", "rest"):
            return quote(unquote(self._value(name, exchange)), safe="/")
        value = exchange.version if name == "version" else exchange.captures.get(name, "")
        return quote(unquote(value) if name in self._raw else value, safe="")


def ordered(paths: Iterable[str]) -> list[PathPattern]:
    """Return path patterns in the order in which the router prefers them."""
    return sorted(map(parse_path, paths), key=lambda pattern: pattern.rank)


def rest_of(patterns: Iterable[PathPattern], path: str) -> str:
    """Return what follows the literal beginning of the pattern that a path fits; begins with a slash."""
    for pattern in patterns:
        if pattern.captured(path) is not None:
            return path[len(pattern.literal) :] or "/"
    return path


def _host_step(route: Route) -> Rewriter | None:
    if route.host in ("preserve", "backend"):
        return None
    octets = route.host.encode("latin-1")
    return lambda exchange: set_host(exchange, octets)


def _path_step(route: Route) -> Rewriter | None:
    if route.rewrite_path is not None:
        return _fill(Template(route.rewrite_path, route.match.paths))
    if not route.strip_path:
        return None
    patterns = ordered(route.match.paths)
    if all(not pattern.literal for pattern in patterns):
        return None
    if len(patterns) == 1 and patterns[0].kind == "prefix":
        cut = len(patterns[0].literal)

        def strip_one(exchange: Exchange) -> None:
            exchange.request.path = exchange.request.path[cut:] or "/"

        return strip_one

    def strip(exchange: Exchange) -> None:
        request = exchange.request
        request.path = rest_of(patterns, request.path)

    return strip


def _fill(template: Template) -> Rewriter:
    def rewrite(exchange: Exchange) -> None:
        request = exchange.request
        if not request.path.startswith("/"):
            return  # * of OPTIONS, host:port of CONNECT: there is no path to change
        request.path, query = template.fill(exchange)
        if query is not None:
            request.query = query

    return rewrite
