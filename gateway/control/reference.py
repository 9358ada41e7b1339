"""The reference of the configuration as a page, made from the models so that it cannot say anything else than they do.

``gateway schema --markdown > docs/configuration.md`` writes it.
"""

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.control.schema import Config
from gateway.model.observe import LOG_FIELDS

_INTRODUCTION = """# Configuration

A configuration is a YAML or JSON file, or a directory of them whose lists are put together. `examples/full.yaml` shows every key;
this page says what each one means. `gateway check FILE` finds every mistake in a file, and `gateway schema` writes a JSON Schema
with which an editor completes keys and marks mistakes, settings of the installed plugins included.

- Unknown keys are errors, and so are names of plugins, pools, APIs and listeners that do not exist.
- YAML is read by the rules of version 1.2: `on`, `off`, `yes` and `no` are plain words, and a key may stand only once in a mapping.
- Settings of policies, credentials and balancers are the plugin's own: `gateway plugin list` says what is installed.
- Wherever a secret or a certificate is wanted, and anywhere in the settings of a plugin, a **reference** may stand instead of the value:
  `$env:NAME` for an environment variable, `$file:PATH` for the content of a file (relative paths start at the configuration file; one
  line break at the end is left out). A file that changes is a change of the configuration, taken over while the gateway runs.
- Durations are seconds and may have fractions; names ending in `_bytes` are octets.

A policy of a plugin that is installed but broken is an error for `gateway check`. A running gateway keeps such a policy and
refuses the exchanges that need it, so that one broken package does not keep every other change from going live.
"""
_HEADING = "\n## {title}\n\n{text}\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n"


def reference() -> str:
    """Return the page, in Markdown."""
    page = _INTRODUCTION
    for model in _models(Config):
        page += _HEADING.format(title=model.__name__.removesuffix("Settings") or model.__name__, text=_prose(model))
        for name, field in model.model_fields.items():
            if field.description:
                page += f"| `{name}` | {_type(field)} | {_default(field)} | {_cell(field.description)} |\n"
    page += "\n## Fields of the access log\n\n| Field | Meaning |\n|---|---|\n"
    page += "".join(f"| `{name}` | {_cell(meaning)} |\n" for name, meaning in LOG_FIELDS.items())
    page += "| `header.NAME` | a header of the request |\n| `response_header.NAME` | a header of the response |\n"
    return page + "| `note.KEY` | what a plugin left for the log |\n"


def _models(model: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> Iterator[type[BaseModel]]:
    """Yield a model and those it is made of, outside in, each once."""
    seen = set() if seen is None else seen
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for inner in _leaves(field.annotation):
            if inspect.isclass(inner) and issubclass(inner, BaseModel):
                yield from _models(inner, seen)


def _leaves(annotation: Any) -> Iterator[Any]:
    arguments = typing.get_args(annotation)
    if not arguments or typing.get_origin(annotation) is typing.Literal:
        yield annotation
    for argument in arguments:
        yield from _leaves(argument)


def _prose(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").replace("``", "`")


def _type(field: FieldInfo) -> str:
    bounds = [_bound(item) for item in _metadata(field)]
    return _cell(", ".join([_word(field.annotation), *filter(None, bounds)]))


def _metadata(field: FieldInfo) -> Iterator[Any]:
    for item in field.metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def _bound(item: Any) -> str:
    match item:
        case annotated_types.Ge(ge=bound):
            return f"{bound:,} or more" if bound else ""
        case annotated_types.Gt(gt=bound):
            return f"more than {bound:,}"
        case annotated_types.Le(le=bound):
            return f"at most {bound:,}" if bound != 86400 * 366 else ""
        case annotated_types.MinLen(min_length=1):
            return "not empty"
    return ""


def _word(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _word(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_word(argument) for argument in arguments if argument is not type(None)))
    if origin is tuple:
        return f"list of {_word(arguments[0])}"
    if origin is dict:
        return "mapping"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        title = annotation.__name__.removesuffix("Settings")
        return f"[{title}](#{title.lower()})"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(
        annotation, getattr(annotation, "__name__", "anything")
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None or field.default is PydanticUndefined or field.default in (None, (), ""):
        return ""
    value = field.default
    if isinstance(value, tuple):
        return _cell(", ".join(f"`{item}`" for item in value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
