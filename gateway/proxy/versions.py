"""Versions of an API: which one a request means, and what clients are told about its end.

``deprecated`` and ``sunset`` are days in UTC. From ``deprecated`` on, responses carry ``Deprecation: @unix-time`` (RFC 9745).
A version with a ``sunset`` announces its last second in ``Sunset`` (RFC 8594) and answers 410 from the next day on.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from gateway.model.route import Api, Version, Versioning

if TYPE_CHECKING:
    from datetime import date

    from gateway.http.message import Request
    from gateway.model.exchange import Exchange

NEVER = float("inf")


class VersionChoice:
    """How the version of one API is found, with everything about its versions computed."""

    __slots__ = ("by", "key", "default", "names", "_gone", "_announced")

    def __init__(self, versioning: Versioning) -> None:
        self.by = versioning.by
        self.key = versioning.key
        self.default = versioning.default
        self.names = tuple(version.name for version in versioning.versions)
        self._gone = {version.name: _midnight(version.sunset + timedelta(1)) for version in versioning.versions if version.sunset}
        #: version -> (from when on, field, value)
        self._announced = {version.name: _announced(version) for version in versioning.versions if version.sunset or version.deprecated}

    def asked(self, request: "Request") -> str | None:
        """Return the version that a header or the query names; ``None`` when neither does."""
        if self.by == "header":
            return request.headers.get(self.key)
        values = parse_query(request.query).get(self.key) if request.query else None
        return values[0] if values else None

    def gone_at(self, version: str) -> float:
        """Return the first unix time at which this version is no longer served."""
        return self._gone.get(version, NEVER)

    def announces(self) -> bool:
        """Whether any version has something to say about its end."""
        return bool(self._announced)

    def announcements(self, version: str) -> list[tuple[str, str]]:
        """Return the header fields that responses of this version carry now."""
        return [(name, value) for since, name, value in self._announced.get(version, ()) if since <= time.time()]


@lru_cache(64)
def parse_query(query: str) -> dict[str, list[str]]:
    """Return the values of every query parameter, decoded. Several routes ask about the same query in a row."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return values


@lru_cache(1024)
def _choice(versioning: Versioning) -> VersionChoice:
    return VersionChoice(versioning)


def choice_of(api: Api) -> VersionChoice | None:
    """Return how an API's version is found; ``None`` when it has no versions. Equal settings give the same object."""
    return _choice(api.versioning) if api.versioning is not None else None


def announcer(api: Api | None) -> "Callable[[Exchange], None] | None":
    """Return what adds Deprecation and Sunset to ``exchange.response``; ``None`` when no version of the API has an end."""
    choice = choice_of(api) if api is not None else None
    if choice is None or not choice.announces():
        return None

    def announce(exchange: "Exchange") -> None:
        if exchange.response is not None:
            for name, value in choice.announcements(exchange.version):
                exchange.response.headers.set(name, value)

    return announce


def _announced(version: Version) -> list[tuple[float, str, str]]:
    fields = []
    if version.deprecated:
        since = _midnight(version.deprecated)
        fields.append((since, "Deprecation", f"@{int(since)}"))
    if version.sunset:
        last = datetime.fromtimestamp(_midnight(version.sunset + timedelta(1)) - 1, UTC)
        fields.append((0.0, "Sunset", format_datetime(last, usegmt=True)))
    return fields


def _midnight(day: "date") -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
