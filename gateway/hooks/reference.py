"""The hook reference, made from the specifications so that it cannot differ from them.

``python -m gateway.hooks.reference > docs/hooks.md`` writes it; a test compares.
"""

from __future__ import annotations

import inspect
import re
import sys

from gateway.hooks.order import EXCHANGE, FAIL_CLOSED, FIRST_RESULT
from gateway.hooks.specs import API, Hooks

_OPENING = f"""\
# Hooks

Every point where a plugin can act, in running order. This page is made from `gateway/hooks/specs.py`; the version of the hook contract
is {API}. [The life of an exchange](life-of-an-exchange.md) shows where they sit, [Plugins](plugins.md) how to write one.

A hook is a method of a plugin class, marked `@hookimpl`. It may leave out arguments that it does not need. The gateway checks names and
arguments when it loads the class: a misspelt hook is an error that names the plugin, not a method that is never called.

Among the policies of an exchange, `@hookimpl(tryfirst=True)` comes first and `@hookimpl(trylast=True)` last; all others run in the order
of the configuration: gateway, API, route, consumer.
"""


def hook_reference() -> str:
    """Return the page."""
    parts = [_OPENING, "## Once per policy and worker\n", *(_section(name) for name in ("start", "stop"))]
    parts += ["## For every exchange\n", *(_section(name) for name in EXCHANGE)]
    return "\n".join(parts)


def _section(name: str) -> str:
    method = getattr(Hooks, name)
    signature = inspect.signature(method)
    arguments = [f"{p.name}: {p.annotation}" for p in signature.parameters.values() if p.name != "self"]
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(method.__doc__))
    return f"""\
### `{name}`

```python
def {name}({", ".join(["self", *arguments])}) -> {signature.return_annotation}
```

{text}

{_rules(name)}
"""


def _rules(name: str) -> str:
    answers = "The first answer ends it." if name in FIRST_RESULT else "Every plugin's is called."
    if name in FAIL_CLOSED:
        fails = "One that raises refuses the exchange: 503."
    elif name in EXCHANGE:
        fails = "One that raises is skipped and counted."
    elif name == "start":
        fails = "When it raises, the policy refuses where a refusal is safe (503) and does nothing elsewhere, until the next configuration."
    else:
        fails = "When it raises, that is logged."
    return f"*{answers} {fails}*"


if __name__ == "__main__":
    sys.stdout.write(hook_reference())
