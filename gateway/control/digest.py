"""Digests that follow a change at the price of the change.

The digest of a document is the sum of the hashes of its entries (modulo 2**128). Adding, changing or removing one entry of a
hundred thousand is then one subtraction and one addition, and the order of entries does not matter. Sums are no defence against
somebody who makes up entries to collide; a digest tells versions apart and finds damage, it is not a signature.
"""

from hashlib import blake2b
from typing import Any

import orjson

_SIZE = 16
_MODULUS = 1 << (8 * _SIZE)


def entry_hash(kind: str, name: str, value: Any) -> int:
    """Return the hash of one entry, from 0 to 2**128 - 1."""
    content = orjson.dumps((kind, name, value), option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(blake2b(content, digest_size=_SIZE).digest(), "big")


def whole_hash(kind: str, value: Any) -> int:
    """Return the share of a part without names in the digest: of gateway policies, whose order counts, or of ``observe``."""
    return entry_hash(kind, "", value) if value else 0


def digest_text(total: int) -> str:
    """Return a sum of entry hashes as a document shows it."""
    return f"{total % _MODULUS:032x}"


def digest_number(text: str) -> int:
    """Return the number that ``digest_text`` wrote; 0 for an empty text."""
    return int(text, 16) if text else 0
