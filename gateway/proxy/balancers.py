"""From the word in a pool's ``balancer`` to an instance of the balancer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from gateway.defaults.round_robin import RoundRobin
from gateway.hooks.plugin import Balancer
from gateway.model.pool import Pool

log = logging.getLogger(__name__)


def balancer_builder(
    classes: Mapping[str, type[Balancer]], failed: Callable[[str, Exception], object] | None = None
) -> Callable[[Pool], Balancer]:
    """Return what PoolRuntime calls for its balancer.

    ``classes`` are the installed balancers by name. A worker must serve whatever happens to a plugin: one that is missing, refuses its
    settings or raises is reported to ``failed`` (name, error; the log unless given), and round robin stands in for it.
    """

    def build(pool: Pool) -> Balancer:
        name = pool.balancer_name
        settings = {} if isinstance(pool.balancer, str) else pool.balancer.config
        try:
            balancer = classes[name]
            return balancer(balancer.Config.model_validate(settings))
        except Exception as error:
            (failed or _log_failure)(name, error)
            return RoundRobin(RoundRobin.Config())

    return build


def _log_failure(name: str, error: Exception) -> None:
    log.error("balancer %s cannot be used, round robin stands in: %r", name, error)
