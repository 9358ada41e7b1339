"""The last good document on disk: what workers start from, whether or not anything else is there.

The file is one JSON object laid out in lines, so that a worker can read it in slices beside traffic: a line opens a table
(``"routes":{``), closes one (``},``) or holds some of its entries. The last line has a checksum of all octets before it. A new file takes
the place of the old one in one step, after it has reached the disk; the one before is kept beside it, for the case that a disk lies.
"""

import logging
import os
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import orjson

from gateway.control.schema import WHOLES
from gateway.control.slices import uncollected

FORMAT = 1
#: Entries on a line: some 20 µs to parse.
_ENTRIES = 64
_TAIL = b'"checksum":"'
#: Where some entries belong (the names of the tables around them), and the entries.
Chunk = tuple[tuple[str, ...], dict[str, Any]]
T = TypeVar("T")
log = logging.getLogger(__name__)


class Damaged(ValueError):
    """A file is not, or no longer, what was written."""


def write(path: Path, document: dict[str, Any]) -> None:
    """Write a document, readable by this user only. Raises OSError; the file that was there is then untouched."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    checksum = blake2b(digest_size=16)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for line in _lines(document):
                checksum.update(line)
                file.write(line)
            file.write(_TAIL + checksum.hexdigest().encode() + b'"}\n')
            file.flush()
            os.fsync(file.fileno())
        _keep(path)
        os.replace(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def read(path: Path) -> dict[str, Any]:
    """Read the document, or the one before it when the file is damaged. Raises OSError or Damaged."""
    return use(path, _document)


def use(path: Path, take: Callable[[Iterator[Chunk]], T]) -> T:
    """Return what ``take`` makes of the chunks of a file, or of the file before it when the last one is damaged.

    That a file is damaged may show only after its last chunk, by an exception that ``take`` lets through. Raises OSError or Damaged.
    """
    try:
        return take(_chunks(path))
    except Damaged as error:
        before = previous(path)
        if not before.exists():
            raise
        log.error("%s: %s; the one before it is used", path, error)
        return take(_chunks(before))


def previous(path: Path) -> Path:
    """Return where the document before the last is kept."""
    return path.with_name(f"{path.name}.previous")


def _lines(document: dict[str, Any]) -> Iterator[bytes]:
    tables = {key: value for key, value in document.items() if isinstance(value, dict) and key not in WHOLES}
    head = {"format": FORMAT, **{key: value for key, value in document.items() if key not in tables}}
    yield orjson.dumps(head)[:-1] + b",\n"
    for key, table in tables.items():
        if key != "credentials":
            yield from _table(key, table)
            continue
        yield b'"credentials":{\n'
        for index, (plugin, entries) in enumerate(table.items(), 1):
            yield from _table(plugin, entries, b"},\n" if index < len(table) else b"}\n")
        yield b"},\n"


def _table(key: str, entries: dict[str, Any], end: bytes = b"},\n") -> Iterator[bytes]:
    yield orjson.dumps(key) + b":{\n"
    names = list(entries)
    for at in range(0, len(names), _ENTRIES):
        chunk = orjson.dumps({name: entries[name] for name in names[at : at + _ENTRIES]})[1:-1]
        yield chunk + (b",\n" if at + _ENTRIES < len(names) else b"\n")
    yield end


def _chunks(path: Path) -> Iterator[Chunk]:
    """Yield parts of the document as they stand in the file, then check that nothing was missing or different."""
    table: tuple[str, ...] = ()
    checksum = blake2b(digest_size=16)
    tail, form = b"", None
    with open(path, "rb") as file:
        for line in file:
            if line.startswith(_TAIL):
                tail = line
                break
            checksum.update(line)
            content = line.rstrip(b",\n")
            try:
                if content == b"}":
                    table = table[: len(table) - 1] if table else _damaged()
                    continue
                if content.endswith(b":{"):
                    table = (*table, orjson.loads(content[:-2]))
                    yield table, {}
                    continue
                entries = orjson.loads(content + b"}" if content.startswith(b"{") else b"{" + content + b"}")
            except ValueError:
                _damaged()
            if not table:
                form = entries.pop("format", form)
            yield table, entries
    if tail != _TAIL + checksum.hexdigest().encode() + b'"}\n' or table:
        _damaged()
    if form != FORMAT:
        raise Damaged(f"the file is not of format {FORMAT}")


def _damaged() -> NoReturn:
    raise Damaged("the file is not as it was written")


def _document(chunks: Iterator[Chunk]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    with uncollected():
        for path, entries in chunks:
            target = document
            for name in path:
                target = target.setdefault(name, {})
            target.update(entries)
    return document


def _keep(path: Path) -> None:
    kept = previous(path)
    try:
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    except OSError as error:  # no file yet, or a file system without links: nothing to fall back to then
        log.debug("%s is not kept: %s", path, error)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
