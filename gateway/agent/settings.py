"""Settings of a node's processes, declared once: the flags of ``gateway proxy`` and their reference page come from here."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.model.base import Seconds, Settings
from gateway.model.listener import check_listener_address
from gateway.model.pool import check_address

Absolute = Annotated[Path, AfterValidator(Path.absolute)]


def _check_management(value: str) -> str:
    return value if value == "off" else check_address(value)


class NodeSettings(Settings):
    """What ``gateway proxy`` was told on its command line. It stays the same across reloads."""

    config: Absolute = Field(description="Configuration file, YAML or JSON")
    state: Absolute = Field(Path("var"), description="Directory for the last good configuration, sockets and the process id")
    listen: Annotated[str, AfterValidator(check_listener_address)] | None = Field(
        None, description="Address of the first listener, instead of the configured one"
    )
    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=96, description="Worker processes; one per core unless given"
    )
    management: Annotated[str, AfterValidator(_check_management)] = Field(
        "127.0.0.1:8002", description="Address of /live, /ready, /metrics, /status and /traces; off = none. Keep it away from the public"
    )
    drain: Seconds = Field(30, description="Seconds that exchanges in flight have to finish when a worker stops")
    drain_delay: Seconds = Field(0, description="Seconds between failing readiness and closing the listeners, when the gateway stops")
    max_requests: int = Field(0, ge=0, description="Requests after which a worker is replaced, give or take a tenth; 0 = never")
    max_age: Seconds = Field(0, description="Seconds after which a worker is replaced, give or take a tenth; 0 = never")
    boot_timeout: Seconds = Field(60, gt=0, description="Seconds that new workers have to become ready, else a reload is taken back")
    log_file: Absolute | None = Field(None, description="File for messages, opened anew on USR1; standard error unless given")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least important messages that are logged")
    access_log: str = Field("off", description="Where access log lines go: off, - (standard output) or a file, opened anew on USR1")
