"""All that a plugin imports.

>>> from gateway.api import Exchange, Plugin, Reject, hookimpl
"""

from gateway.hooks.plugin import Balancer, Candidate, PartResult, Plugin, PolicyInfo, Reject, Worker, hookimpl
from gateway.hooks.specs import API
from gateway.http.errors import GatewayError
from gateway.http.headers import Headers
from gateway.http.message import Body, Request, Response
from gateway.model.base import Secret, Settings
from gateway.model.consumer import Consumer
from gateway.model.exchange import Exchange
from gateway.model.pool import Member
from gateway.shared.table import SharedTable

__all__ = [
    "API",
    "Balancer",
    "Body",
    "Candidate",
    "Consumer",
    "Exchange",
    "GatewayError",
    "Headers",
    "Member",
    "PartResult",
    "Plugin",
    "PolicyInfo",
    "Reject",
    "Request",
    "Response",
    "Secret",
    "Settings",
    "SharedTable",
    "Worker",
    "hookimpl",
]
