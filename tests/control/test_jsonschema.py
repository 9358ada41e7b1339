from gateway.api import Plugin
from gateway.control.jsonschema import config_schema
from tests.control.support import REGISTRY, registry


class Unspeakable(Plugin):
    """Has settings that JSON Schema has no words for."""

    name = "unspeakable"

    class Config(Plugin.Config):
        model_config = {"arbitrary_types_allowed": True}
        thing: type(print) = print


def test_settings_depend_on_the_plugin():
    schema = config_schema(REGISTRY)
    policy = schema["$defs"]["Policy"]
    assert policy["properties"]["plugin"]["enum"] == ["key", "odd", "rates"]
    settings, required = [rule for rule in policy["allOf"] if rule["if"]["properties"]["plugin"]["const"] == "rates"]
    assert settings["then"] == {"properties": {"config": {"$ref": "#/$defs/Policy.rates"}}}
    assert required["then"] == {"required": ["config"]} and required["if"]["not"]["properties"] == {"enabled": {"const": False}}
    assert schema["$defs"]["Policy.rates"]["properties"]["limits"]["items"] == {"$ref": "#/$defs/Policy.rates.Window"}
    assert "Policy.rates.Window" in schema["$defs"]
    assert schema["$defs"]["Credential"]["properties"]["plugin"]["enum"] == ["key"]
    assert schema["$defs"]["Pool"]["properties"]["balancer"]["anyOf"][0]["enum"] == ["round_robin"]


def test_a_secret_may_be_a_reference_whatever_else_is_asked_of_it():
    key = config_schema(REGISTRY)["$defs"]["Credential.key"]["properties"]["key"]
    assert key["anyOf"] == [{"type": "string", "pattern": r"^\$(env|file):."}, {"minLength": 1, "type": "string"}]


def test_leaves_settings_open_that_cannot_be_described():
    policy = config_schema(registry(Unspeakable))["$defs"]["Policy"]
    assert "unspeakable" in policy["properties"]["plugin"]["enum"]
    assert all(rule["if"]["properties"]["plugin"]["const"] != "unspeakable" for rule in policy["allOf"])


def test_every_reference_leads_somewhere():
    schema = config_schema(REGISTRY)

    def references(part):
        if isinstance(part, dict):
            if "$ref" in part:
                yield part["$ref"]
            for inner in part.values():
                yield from references(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from references(inner)

    assert {ref.removeprefix("#/$defs/") for ref in references(schema)} <= set(schema["$defs"])


def test_fields_of_the_compile_step_are_not_in_it():
    assert "seen" not in config_schema(REGISTRY)["$defs"]["Policy"]["properties"]


def test_numbers_that_stand_for_words_are_allowed_as_yaml_reads_them():
    items = config_schema(REGISTRY)["$defs"]["Retries"]["properties"]["on"]["items"]
    assert 502 in [value for branch in items.get("anyOf", [items]) for value in branch["enum"]]
