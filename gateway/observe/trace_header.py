"""``X-Gateway-Trace``: how an operator asks for an exchange to be explained.

The value is ``SIGNATURE;EXPIRES;METHOD;PATH``: HMAC-SHA-256 in hexadecimal over the rest, seconds of the Unix epoch,
and the method and path it is good for, each of which may be ``*``. Whoever holds one can have such exchanges traced
until it expires, and cannot read the traces: those are on the management address.
"""

import hmac
import time

NAME = "X-Gateway-Trace"
#: a header that is good for longer was not meant for one look at one problem
LONGEST_S = 86400
_CONTEXT = "gateway trace 1;"


def sign(secret: str, expires: float, method: str = "*", path: str = "*") -> str:
    """Return the value of a header that is good until ``expires`` (``time.time()``)."""
    claim = f"{int(expires)};{method};{path}"
    return f"{_signature(secret, claim)};{claim}"


def verify(secret: str, value: bytes, method: str, path: str, now: float | None = None) -> bool:
    """Tell whether the header's value asks, with the right signature and in time, for this request to be traced."""
    signature, _, claim = value.decode("latin-1").partition(";")
    try:
        correct = hmac.compare_digest(signature, _signature(secret, claim))
        expires, wanted_method, wanted_path = claim.split(";", 2)
        left_s = int(expires) - (time.time() if now is None else now)
    except (ValueError, TypeError):  # too few parts, no number, no ASCII
        return False
    return correct and 0 <= left_s <= LONGEST_S and wanted_method in ("*", method) and wanted_path in ("*", path)


def _signature(secret: str, claim: str) -> str:
    return hmac.digest(secret.encode(), (_CONTEXT + claim).encode(), "sha256").hex()
