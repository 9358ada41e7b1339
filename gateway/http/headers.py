"""Header fields: an ordered list as it came, with an index that ignores case.

Kept as octets because that is how they arrive and leave; plugins read and write ``str``. The index is what makes the
hot path cheap: the parser fills it while it checks each name, so that looking a field up is one dict access.
"""

import re
from collections.abc import Iterable, Iterator

#: Names in the exact case seen so far -> lower case. Clients use few spellings, so a dict beats ``bytes.lower``
#: plus a token check. Emptied when full, so that a hostile client can neither grow it nor keep good names out.
lowered_names: dict[bytes, bytes] = {}
_LOWERED_MOST = 4096
_LONGEST_NAME = 64
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, section 5.5

Field = tuple[bytes, bytes]
#: A checked field and its lower-case name, as ``Headers.prepare`` makes it.
Prepared = tuple[bytes, Field]


def lower_name(name: bytes) -> bytes:
    """Return the field name in lower case. Raises ValueError when it is not a token."""
    known = lowered_names.get(name)
    if known is not None:
        return known
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a field name")
    lowered = name.lower()
    if len(name) <= _LONGEST_NAME and b"_" not in name:  # the parser looks at each underscore again
        if len(lowered_names) >= _LOWERED_MOST:
            lowered_names.clear()
        lowered_names[name] = lowered
    return lowered


class Headers:
    """Fields in order, with repeats; ``get`` joins repeats with a comma (RFC 9110, section 5.3).

    ``fields`` and ``index`` belong to the core: plugins use the methods, which keep the two in step and refuse
    names and values that would break the message (ValueError).
    """

    __slots__ = ("fields", "index")

    def __init__(self, fields: list[Field] | None = None, index: dict[bytes, bytes] | None = None) -> None:
        self.fields: list[Field] = [] if fields is None else fields
        self.index: dict[bytes, bytes] = index_of(self.fields) if index is None else index

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Headers":
        """Make headers from text, checking every name and value."""
        headers = cls()
        for name, value in pairs:
            headers.add(name, value)
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value, repeats joined by ``", "``; ``default`` when the field is absent."""
        value = self.index.get(name.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Return every value in order, one per line of the message (what ``Set-Cookie`` needs)."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.fields if lower_name(key) == wanted]

    def add(self, name: str, value: str) -> None:
        """Append a field, keeping any that has the same name."""
        key, octets = _checked(name, value)
        self.fields.append((key, octets))
        lowered = lower_name(key)
        earlier = self.index.get(lowered)
        self.index[lowered] = octets if earlier is None else earlier + b", " + octets

    def set(self, name: str, value: str) -> None:
        """Give the field this one value, replacing every earlier one."""
        key, octets = _checked(name, value)
        lowered = lower_name(key)
        if lowered in self.index:
            self.fields = _without(self.fields, lowered)
        self.fields.append((key, octets))
        self.index[lowered] = octets

    def remove(self, name: str) -> None:
        """Drop every field of this name; absent is fine."""
        self.discard(name.lower().encode("latin-1"))

    def discard(self, lowered: bytes) -> None:
        """As ``remove``, for a caller that has the lower-case octets."""
        if self.index.pop(lowered, None) is not None:
            self.fields = _without(self.fields, lowered)

    def discard_all(self, lowered: frozenset[bytes]) -> None:
        """Drop every field whose lower-case name is among these; 0.3 µs when none is there, however many they are."""
        if not lowered.isdisjoint(self.index):
            for name in lowered:
                self.discard(name)

    @staticmethod
    def prepare(name: str, value: str) -> Prepared:
        """Check a field once, for ``put`` and ``append`` on every message. Raises ValueError."""
        field = _checked(name, value)
        return lower_name(field[0]), field

    def put(self, prepared: Prepared) -> None:
        """As ``set``, with a prepared field: a fifth of the time."""
        lowered, field = prepared
        if lowered in self.index:
            self.fields = _without(self.fields, lowered)
        self.fields.append(field)
        self.index[lowered] = field[1]

    def append(self, prepared: Prepared) -> None:
        """As ``add``, with a prepared field."""
        lowered, field = prepared
        self.fields.append(field)
        earlier = self.index.get(lowered)
        self.index[lowered] = field[1] if earlier is None else earlier + b", " + field[1]

    def octets(self, lowered: bytes) -> bytes | None:
        """As ``get``, for a caller that has the lower-case name as octets and wants the value as octets."""
        return self.index.get(lowered)

    def copy(self) -> "Headers":
        """Return headers that can be changed without changing these."""
        return Headers(self.fields.copy(), self.index.copy())

    def __contains__(self, name: str) -> bool:
        return name.lower().encode("latin-1") in self.index

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


def index_of(fields: Iterable[Field]) -> dict[bytes, bytes]:
    """Return lower-case name -> value, repeats joined."""
    index: dict[bytes, bytes] = {}
    for name, value in fields:
        lowered = lower_name(name)
        earlier = index.get(lowered)
        index[lowered] = value if earlier is None else earlier + b", " + value
    return index


def _without(fields: list[Field], lowered: bytes) -> list[Field]:
    known = lowered_names.get
    return [field for field in fields if (known(field[0]) or lower_name(field[0])) != lowered]


def _checked(name: str, value: str) -> Field:
    try:
        key, octets = name.encode("ascii"), value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"header {name!r} has characters that HTTP cannot carry") from None
    lower_name(key)
    if not _VALUE.fullmatch(octets):
        raise ValueError(f"the value of header {name!r} has control characters")
    return key, octets.strip(b" \t")
