"""How long to wait for a backend, as plain numbers: settings are checked models, and reading one costs more than the hot path has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.route import Timeouts


class Waits:
    """Seconds, as ``model.route.Timeouts`` describes them."""

    __slots__ = ("connect_s", "first_byte_s", "idle_s", "total_s")

    def __init__(self, connect_s: float, first_byte_s: float, idle_s: float, total_s: float = 0.0) -> None:
        self.connect_s = connect_s
        self.first_byte_s = first_byte_s
        self.idle_s = idle_s
        self.total_s = total_s

    def without_total(self) -> Waits:
        """Return the same without a limit for the whole exchange."""
        return Waits(self.connect_s, self.first_byte_s, self.idle_s)


def waits_of(timeouts: Timeouts) -> Waits:
    """Return the numbers of some settings."""
    return Waits(float(timeouts.connect_s), float(timeouts.first_byte_s), float(timeouts.idle_s), float(timeouts.total_s))
