"""What plugins say about their settings: policies, credentials and balancers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from gateway.control.messages import add_pydantic_errors
from gateway.control.problems import Findings, Location, did_you_mean, path_text

if TYPE_CHECKING:
    from gateway.control.units import Context

#: plugin, lookup key, credential name, what the plugin stores, position
Found = tuple[str, str, str, dict[str, Any] | None, int]


def check_policies(raw: Any, findings: Findings, context: "Context", of_consumer: bool = False) -> None:
    """Check the policies of one scope: each with its plugin, and that no two go by one name."""
    labels: dict[str, int] = {}
    for index, policy in enumerate(raw if isinstance(raw, list | tuple) else ()):
        if not isinstance(policy, Mapping):
            continue
        check_settings("plugin", policy, findings.below(index), context)
        if of_consumer and _names_callers(policy.get("plugin"), context):
            wrong = "names callers, which is over before a consumer's own policies act: that part of it never runs here"
            findings.warn((index, "plugin"), wrong)
        label = policy.get("name") or policy.get("plugin")
        if isinstance(label, str) and labels.setdefault(label, index) != index:
            like = path_text((*findings.base, labels[label]))
            findings.error((index,), f"is called {label!r} like {like}; give each use of a plugin a name of its own")


def check_settings(word: str, raw: Mapping[str, Any], findings: Findings, context: "Context", named_only: bool = False) -> None:
    """Check the name of a plugin or balancer and, with it, the settings.

    ``named_only``: the balancer is written as a mere name, and problems belong to the place itself.
    """
    name, config = raw.get("plugin"), raw.get("config", {})
    if not isinstance(name, str) or not isinstance(config, Mapping):
        return  # the model has said so
    at: Location = () if named_only else ("plugin",)
    chosen = _class_of(word, name, at, findings, context)
    if chosen is not None and (config or raw.get("enabled") is not False):  # what only hides an inherited policy needs no settings
        below = findings if named_only else findings.below("config")
        _validated(chosen.Config, config, below, context, f"{word} {name!r}")


def check_credentials(raw: Any, findings: Findings, context: "Context") -> list[Found]:
    """Check a consumer's credentials and return under which keys they are found."""
    found: list[Found] = []
    labels: dict[str, int] = {}
    used: dict[str, int] = {}
    for index, credential in enumerate(raw if isinstance(raw, list | tuple) else ()):
        if not isinstance(credential, Mapping):
            continue
        plugin, config = credential.get("plugin"), credential.get("config", {})
        if not isinstance(plugin, str) or not isinstance(config, Mapping):
            continue
        place = findings.below(index)
        chosen = _class_of("plugin", plugin, ("plugin",), place, context)
        if chosen is None:
            continue
        if chosen.Credential is None:
            place.error(("plugin",), f"plugin {plugin!r} has no credentials")
            continue
        used[plugin] = used.get(plugin, 0) + 1
        label = credential.get("name") or (plugin if used[plugin] == 1 else f"{plugin}-{used[plugin]}")
        if isinstance(label, str) and labels.setdefault(label, index) != index:
            place.error(("name",), f"credential number {labels[label]} is called {label!r} already")
        before = len(findings.errors)
        model = _validated(chosen.Credential, config, place.below("config"), context, f"plugin {plugin!r}")
        if model is None or len(findings.errors) != before:
            continue
        try:
            key, stored = chosen.lookup(model)
        except Exception as error:  # a plugin's own code: whatever it raises is its verdict, and may quote the secret
            place.error(("config",), f"plugin {plugin!r} cannot use this credential ({type(error).__name__})")
            continue
        found.append((plugin, key, str(label), stored, index))
    return found


def _names_callers(name: Any, context: "Context") -> bool:
    found = context.registry.implementations.get(name, ()) if isinstance(name, str) else ()
    return any(implementation.hook == "authenticate" for implementation in found)


def _class_of(word: str, name: str, at: Location, findings: Findings, context: "Context") -> Any:
    registry = context.registry
    known: Mapping[str, Any] = registry.plugins if word == "plugin" else registry.balancers
    if name in known:
        return known[name]
    why = _failure(name, registry.failed)
    if not why:
        findings.error(at, f"{word} {name!r} is not installed{did_you_mean(name, known)}")
    elif context.lenient:
        outcome = "exchanges that need it are refused" if word == "plugin" else "round_robin takes its place"
        findings.warn(at, f"{word} {name!r} is broken, {outcome}: {why}")
    else:
        findings.error(at, f"{word} {name!r} is broken: {why}")
    return None


def _failure(name: str, failed: Mapping[str, str]) -> str:
    """Say why the plugin of this name failed; an entry point may be listed as ``NAME of DISTRIBUTION``."""
    return next((why for entry, why in failed.items() if entry == name or entry.startswith(f"{name} of ")), "")


def _validated(model: type[BaseModel], raw: Any, findings: Findings, context: "Context", who: str) -> BaseModel | None:
    settings = context.references.settings(raw, findings)
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        add_pydantic_errors(findings, error, model, settings)
    except Exception as error:  # a validator of somebody else's code must not end the compile
        findings.error((), f"{who} failed while it looked at this ({type(error).__name__}: {error})")
    return None
