"""Error responses: one function makes them all, from a status and a code."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from gateway.http.headers import Headers
from gateway.http.message import Response

if TYPE_CHECKING:
    from gateway.model.exchange import Exchange

TITLES = {status.value: status.phrase for status in HTTPStatus} | {413: "Content Too Large", 422: "Unprocessable Content"}


def error_page(exchange: Exchange, status: int, code: str, headers: Headers | None = None) -> Response:
    """Return a problem document (RFC 9457) that tells the client status, code and exchange id, and no more."""
    fields = Headers() if headers is None else headers.copy()
    fields.set("Content-Type", "application/problem+json")
    fields.set("Cache-Control", "no-store")
    problem = {"title": TITLES.get(status, "Error"), "status": status, "code": code, "exchange": exchange.id}
    return Response(status, fields, orjson.dumps(problem))
