"""A configuration as it would be written today: defaults left out, keys in order, no secrets."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from gateway.control.schema import KINDS, Config
from gateway.model.observe import Observe
from gateway.model.references import is_reference

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry

#: What stands in place of a secret. It is a reference that resolves to an error, so an export is never taken for a working file.
REDACTED = "$redacted"


def normalised(data: Any, registry: "Registry") -> dict[str, Any]:
    """Return a valid configuration in its shortest form. References stay; secrets that are written out become ``$redacted``.

    Which fields are secret is what models say (``Secret``). Of a credential, everything that is text is secret unless the
    plugin marks some of its fields; so is every text in the settings of a plugin that is not installed.
    """
    written: dict[str, Any] = Config.model_validate(data).model_dump(mode="json", exclude_defaults=True)
    for kind, model in KINDS.items():
        written[kind] = [_object(entry, model, registry) for entry in written.get(kind, ())]
    if "observe" in written:
        written["observe"] = redacted(written["observe"], Observe)
    written["policies"] = [_policy(policy, registry) for policy in written.get("policies", ())]
    return {key: value for key in Config.model_fields if (value := written.get(key)) not in ([], {}, None)}


def _object(entry: dict[str, Any], model: type[BaseModel], registry: "Registry") -> dict[str, Any]:
    policies, credentials = entry.pop("policies", None), entry.pop("credentials", None)
    entry = redacted(entry, model)
    if credentials is not None:
        entry["credentials"] = [_credential(credential, registry) for credential in credentials]
    if policies is not None:
        entry["policies"] = [_policy(policy, registry) for policy in policies]
    return entry


def _policy(policy: dict[str, Any], registry: "Registry") -> dict[str, Any]:
    plugin = registry.plugins.get(policy["plugin"])
    return _with_config(policy, None if plugin is None else plugin.Config)


def _credential(credential: dict[str, Any], registry: "Registry") -> dict[str, Any]:
    plugin = registry.plugins.get(credential["plugin"])
    model = None if plugin is None else plugin.Credential
    return _with_config(credential, model if model is not None and _marks_secrets(model) else None)


def _with_config(settings: dict[str, Any], model: type[BaseModel] | None) -> dict[str, Any]:
    if "config" in settings:
        config = settings["config"]
        settings["config"] = _hide_all(config) if model is None else redacted(config, model)
    return settings


def redacted(settings: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return settings without the secrets that their model marks."""
    schema = _schema(model)
    hidden: dict[str, Any] = _hide(settings, schema, schema.get("$defs", {}))
    return hidden


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _marks_secrets(model: type[BaseModel]) -> bool:
    return "'x-secret': True" in str(_schema(model))


def _hide(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """Follow value and schema side by side; where branches of a union apply at once, whatever one of them marks is secret."""
    if "$ref" in schema:
        value = _hide(value, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        value = _hide(value, branch, definitions)
    if schema.get("x-secret"):
        return _hide_all(value)
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        below = {key: known.get(key, others) for key in value}
        return {key: _hide(item, below[key], definitions) if isinstance(below[key], dict) else item for key, item in value.items()}
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_hide(item, schema["items"], definitions) for item in value]
    return value


def _hide_all(value: Any) -> Any:
    if isinstance(value, str):
        return value if is_reference(value) else REDACTED
    if isinstance(value, dict):
        return {key: _hide_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide_all(item) for item in value]
    return value
