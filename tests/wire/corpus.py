"""The wire corpus: octets as a peer may send them, each with the verdict that docs/http.md promises.

``cases("requests")`` and ``cases("responses")`` load the modules of the directories beside this file; each has a list ``CASES``.
A runner needs nothing else: feed the octets however it likes and compare.
"""

import importlib
import pkgutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Refused:
    """The message is answered with ``status`` (a client sees 502 when it was a response) and the connection is closed.

    ``after`` is the number of messages before it that are served: complete requests, or interim responses.
    """

    status: int
    code: str
    after: int = 0


@dataclass(frozen=True)
class Request:
    """What a backend must see of an accepted request, and nothing beyond."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    host: str = "a.example"
    content: bytes | None = None
    trailers: tuple[tuple[str, str], ...] = ()
    keep_alive: bool = True
    upgrade: str = ""
    expect: bool = False


@dataclass(frozen=True)
class Response:
    """What a client must see of an accepted response. ``interims`` are the statuses that came before it."""

    status: int = 200
    content: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()
    keep_alive: bool = True
    interims: tuple[int, ...] = ()
    reason: bytes = b"OK"


@dataclass(frozen=True)
class Accepted:
    """Messages in order, and the octets behind them that belong to no message."""

    messages: tuple[Request, ...] | tuple[Response, ...]
    leftover: bytes = b""


@dataclass(frozen=True)
class Unfinished:
    """Nothing wrong so far, but not a whole message: a deadline (408), or the end of the connection, decides."""


Verdict = Refused | Accepted | Unfinished


@dataclass(frozen=True)
class Case:
    """One exchange of octets. ``why`` says what goes wrong elsewhere when a parser lets it pass.

    ``method`` is the request that a response answers; ``closes`` means that the backend closes after the octets.
    """

    name: str
    octets: bytes
    verdict: Verdict
    why: str = ""
    method: str = "GET"
    closes: bool = False


def refused(name: str, octets: bytes, status: int, code: str, why: str = "", *, after: int = 0) -> Case:
    """Make a case of a request that is answered with an error."""
    return Case(name, octets, Refused(status, code, after), why)


def accepted(name: str, octets: bytes, *messages: Request, why: str = "", leftover: bytes = b"") -> Case:
    """Make a case of requests that are served."""
    return Case(name, octets, Accepted(messages or (Request(),), leftover), why)


def unfinished(name: str, octets: bytes, why: str = "") -> Case:
    """Make a case of a request that waits for more."""
    return Case(name, octets, Unfinished(), why)


def bad(name: str, octets: bytes, code: str, why: str = "", *, method: str = "GET", after: int = 0, closes: bool = False) -> Case:
    """Make a case of a response that becomes a 502."""
    return Case(name, octets, Refused(502, code, after), why, method, closes)


def good(
    name: str, octets: bytes, response: Response, why: str = "", *, method: str = "GET", closes: bool = False, leftover: bytes = b""
) -> Case:
    """Make a case of a response that passes."""
    return Case(name, octets, Accepted((response,), leftover), why, method, closes)


def cases(kind: str) -> list[Case]:
    """Return the cases of ``requests`` or ``responses``, module by module."""
    package = importlib.import_module(f"tests.wire.{kind}")
    found: list[Case] = []
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        found += importlib.import_module(f"{package.__name__}.{module}").CASES
    return found
