"""The configuration as JSON Schema, for editors: with it they complete keys, show descriptions and mark mistakes while one types.

Settings of plugins are part of it, as far as they are installed where it is made.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from gateway.control.schema import Config

if TYPE_CHECKING:
    from gateway.hooks.manager import Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
#: What a registry offers under a name.
Installed = Mapping[str, Any]


def config_schema(registry: "Registry") -> Schema:
    """Return the schema of a whole configuration."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    authenticating = {name: plugin for name, plugin in registry.plugins.items() if plugin.Credential is not None}
    _by_plugin("Policy", registry.plugins, "Config", definitions)
    _by_plugin("Credential", authenticating, "Credential", definitions)
    _by_plugin("BalancerChoice", registry.balancers, "Config", definitions)
    name = definitions["Pool"]["properties"]["balancer"]["anyOf"][0]
    name["enum"] = sorted(registry.balancers)
    _allow_references(definitions)
    return {"$schema": DIALECT, **schema, "title": "Configuration of the gateway"}


def _by_plugin(owner: str, installed: Installed, attribute: str, definitions: Schema) -> None:
    """Make the schema of ``config`` in an object depend on its ``plugin``."""
    definition = definitions[owner]
    definition["properties"]["plugin"]["enum"] = sorted(installed)
    conditions = []
    for name, chosen in sorted(installed.items()):
        described = _described(getattr(chosen, attribute), f"{owner}.{name}", definitions)
        if described:
            chosen_here: Schema = {"properties": {"plugin": {"const": name}}, "required": ["plugin"]}
            conditions.append({"if": chosen_here, "then": {"properties": {"config": {"$ref": f"#/$defs/{owner}.{name}"}}}})
            if definitions[f"{owner}.{name}"].get("required"):
                # what only hides an inherited policy needs no settings
                switched_off = {"properties": {"enabled": {"const": False}}, "required": ["enabled"]}
                conditions.append({"if": {**chosen_here, "not": switched_off}, "then": {"required": ["config"]}})
    if conditions:
        definition["allOf"] = conditions


def _allow_references(schema: Any) -> None:
    """Let a secret be a reference, whatever else its field asks of it."""
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _allow_references(inner)
    if isinstance(schema, dict) and schema.get("x-secret") and schema.get("type") == "string":
        wanted = {key: schema.pop(key) for key in list(schema) if key not in ("title", "description", "default", "x-secret")}
        schema["anyOf"] = [{"type": "string", "pattern": r"^\$(env|file):."}, wanted]


def _described(model: type[BaseModel], name: str, definitions: Schema) -> bool:
    """Add a plugin's model to the definitions under this name."""
    try:
        schema = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    except PydanticUserError:  # a plugin's own types may have no schema: then its settings are left open
        return False
    definitions.update({f"{name}.{inner}": part for inner, part in schema.pop("$defs", {}).items()})
    definitions[name] = schema
    return True
