"""``gateway plugin new``: write a distribution with a plugin that works, tested and ready to be changed.

The files lie in ``plugin_template``; in their names and contents a few words stand for the new plugin's own. They end
with ``.in`` so that no tool takes them for code of the gateway.
"""

import re
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SUFFIX = ".in"


class ScaffoldError(Exception):
    """The distribution cannot be written; the message says why."""


def write_plugin(name: str, directory: Path | None = None) -> Path:
    """Write the distribution and return its directory, which must not exist or be empty. Raises ScaffoldError."""
    name = name.replace("-", "_")
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise ScaffoldError(f"{name!r} is not a plugin name: it begins with a-z and has a-z, 0-9 and single _ only, such as user_agent")
    words = {
        "name": name,
        "distribution": f"gateway-{name.replace('_', '-')}",
        "package": f"gateway_{name}",
        "class_name": "".join(word.capitalize() for word in name.split("_")),
        "version": ".".join(metadata.version("gateway").split(".")[:2]),
    }
    target = directory or Path(words["distribution"])
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise ScaffoldError(f"{target} is there already and not empty")
    try:
        _write(resources.files("gateway") / "plugin_template", target, words)
    except OSError as error:
        raise ScaffoldError(f"{error.filename}: {error.strerror}") from error
    return target


def _write(source: Traversable, target: Path, words: dict[str, str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        name = entry.name.replace("PACKAGE", words["package"]).replace("MODULE", words["name"])
        if entry.is_dir():
            _write(entry, target / name, words)
        elif name.endswith(_SUFFIX):
            name = ".gitignore" if name == "gitignore.in" else name.removesuffix(_SUFFIX)
            (target / name).write_text(Template(entry.read_text("utf-8")).substitute(words), "utf-8")
