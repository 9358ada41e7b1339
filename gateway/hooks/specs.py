"""Every point where a plugin can act, in running order. ``None`` means no opinion.

A refusal is a returned Reject; raising is a bug. Waiting on a socket is fine, a millisecond of computing is not.
Only ``transform_request`` and ``transform_response`` change the exchange; every other hook returns a value and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from gateway.hooks.plugin import Candidate, PartResult, Reject, Worker
    from gateway.http.message import Response
    from gateway.model.consumer import Consumer
    from gateway.model.exchange import Exchange

API = 1  #: raised only when an existing hook changes its arguments or its results
hookspec = pluggy.HookspecMarker("gateway")


class Hooks:
    """The specifications, as methods so that pluggy checks plugin classes against them."""

    @hookspec
    def start(self, worker: Worker) -> None:
        """Get ready in a worker: called once per policy instance, before its first exchange. Since API 1."""

    @hookspec
    def stop(self, worker: Worker) -> None:
        """Let go of what ``start`` took: the policy was changed or removed, or the worker ends. Since API 1."""

    @hookspec(firstresult=True)
    def authenticate(self, exchange: Exchange) -> Consumer | Reject | None:
        """Name the caller. Runs after routing and before the content is read.

        Returns: a Consumer; a Reject (401, 403) when credentials are present but wrong; ``None`` when this
        plugin's kind of credential is absent. The first answer wins; when every authenticating policy of a route
        says ``None`` the core answers 401 with the ``challenge`` of each. May put the name of the credential into
        ``exchange.credential``. Since API 1.
        """

    @hookspec(firstresult=True)
    def authorize(self, exchange: Exchange) -> Reject | None:
        """Refuse a caller who may not do this. ``exchange.consumer`` is known, or ``None``. Since API 1."""

    @hookspec(firstresult=True)
    def limit(self, exchange: Exchange) -> Reject | None:
        """Refuse what is too much: rates, quotas, concurrency, sizes. Since API 1."""

    @hookspec
    def transform_request(self, exchange: Exchange) -> None:
        """Change ``exchange.request`` before it is forwarded. Since API 1."""

    @hookspec(firstresult=True)
    def respond(self, exchange: Exchange) -> Response | None:
        """Answer without a backend: a cache hit, a mock, a redirect, maintenance. Since API 1."""

    @hookspec(firstresult=True)
    def select_backend(self, exchange: Exchange, candidates: Sequence[Candidate]) -> Candidate | None:
        """Choose one of the candidates, which are healthy, not full and not yet tried. ``None`` asks the pool's balancer. Since API 1."""

    @hookspec(firstresult=True)
    def aggregate(self, exchange: Exchange, parts: Sequence[PartResult]) -> Response | None:
        """Make one response of several; only on composed routes. ``None`` leaves it to the plain merge. Since API 1."""

    @hookspec
    def transform_response(self, exchange: Exchange) -> None:
        """Change ``exchange.response`` or wrap its body, before its head is sent. Runs for refusals too. Since API 1."""

    @hookspec
    def log(self, exchange: Exchange) -> None:
        """Take note of a finished exchange, after its last octet. Must not wait. Since API 1."""
