"""The access log: one JSON line per exchange, collected in a list and written a few times a second."""

import logging
import time

from gateway.model.exchange import Exchange
from gateway.model.observe import AccessLogSettings
from gateway.observe.log_line import compile_line
from gateway.observe.sink import Sink

log = logging.getLogger("gateway.access_log")

#: written at once when so many lines have come, between the flushes that the worker asks for
_BATCH = 64


class AccessLog:
    """The lines of one worker. Call ``flush`` four times a second, ``reopen`` on the signal that follows a rotation.

    What the file takes no more (a full pipe, a full disk) waits, and is tried again at each flush; beyond
    ``max_waiting`` lines new ones are dropped and counted. Nothing here waits or raises.
    """

    def __init__(self, settings: AccessLogSettings, path: str = "-") -> None:
        """``path`` is where the lines go when the settings name no place."""
        #: lines dropped because they could not be written
        self.dropped = 0
        self._settings = settings
        self._default = path
        self._format = compile_line(settings.fields)
        self._lines: list[bytes] = []
        #: octets that the sink has not taken yet
        self._rest = b""
        self._sink: Sink | None = None
        self._trouble = ""
        self._ms = -1
        self._time = ""
        self._offset = 0.0
        self._keep_time()

    def write(self, exchange: Exchange) -> None:
        """Add the line of a finished exchange."""
        ms = int((exchange.started + self._offset) * 1000)
        if ms != self._ms:
            self._ms = ms
            self._time = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))}.{ms % 1000:03d}Z"
        lines = self._lines
        lines.append(self._format(exchange, self._time))
        if len(lines) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what waits, as far as it is taken."""
        self._keep_time()
        if not self._lines and not self._rest:
            return
        lines, self._lines = self._lines, []
        waiting = self._rest.count(b"\n")
        if waiting + len(lines) > self._settings.max_waiting:
            room = max(self._settings.max_waiting - waiting, 0)
            self.dropped += len(lines) - room
            del lines[room:]
        octets = self._rest + b"".join(lines)
        try:
            if self._sink is None:
                self._sink = Sink(self._settings.path or self._default)
            self._rest = octets[self._sink.write(octets) :]
            self._trouble = ""
        except OSError as error:
            self._rest = octets
            self._close()
            if self._trouble != str(error):  # once, not four times a second
                self._trouble = str(error)
                log.error("cannot write the access log: %s", error)

    def reopen(self) -> None:
        """Write what waits, then open the file by its name again."""
        self.flush()
        self._close()

    def configure(self, settings: AccessLogSettings) -> None:
        """Take new settings; lines that wait still go to the old file as far as it takes them."""
        if settings == self._settings:
            return
        self.reopen()
        self._settings = settings
        self._format = compile_line(settings.fields)

    def _keep_time(self) -> None:
        self._offset = time.time() - time.monotonic()  # the clock may have been set

    def _close(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None
