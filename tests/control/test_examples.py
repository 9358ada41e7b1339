import inspect
import os
import shutil
import typing
from pathlib import Path

import pytest
import trustme
from pydantic import BaseModel

from gateway.control.schema import Config
from gateway.control.yamlfile import parse
from tests.commands.support import gateway

EXAMPLES = Path(__file__).parents[2] / "examples"
KEYS = {"ALICE_KEY": "a-key-of-alice", "PARTNER_KEY": "a-key-of-the-partner", "TRACE_KEY": "a-key-for-traces"}


@pytest.fixture
def copied(tmp_path):
    """Return a copy of the full example with the files that it refers to."""
    authority = trustme.CA()
    (tmp_path / "tls").mkdir()
    for name, hosts in (("api", ("api.example.com", "*.shop.example.com")), ("client", ("gateway.example.com",))):
        issued = authority.issue_cert(*hosts)
        issued.cert_chain_pems[0].write_to_path(tmp_path / "tls" / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / "tls" / f"{name}.key")
    authority.cert_pem.write_to_path(tmp_path / "tls" / "partner-ca.pem")
    return shutil.copy(EXAMPLES / "full.yaml", tmp_path)


def test_the_full_example_is_in_order(copied):
    done = gateway("check", "--strict", copied, env={**os.environ, **KEYS})
    assert (done.status, done.errors) == (0, ""), done.output


def test_the_sample_is_in_order():
    done = gateway("check", "--strict", EXAMPLES / "sample.yaml")
    assert (done.status, done.errors) == (0, ""), done.output


def test_the_full_example_shows_every_key():
    shown = set()
    collect(Config, parse((EXAMPLES / "full.yaml").read_text()), shown)
    wanted = {key(model, name) for model in models(Config, set()) for name, field in model.model_fields.items() if field.description}
    missing = wanted - shown
    assert not missing


def collect(model, data, shown):
    for name, value in data.items():
        shown.add(key(model, name))
        for inner in leaves(model.model_fields[name].annotation):
            if inspect.isclass(inner) and issubclass(inner, BaseModel):
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, dict):
                        collect(inner, item, shown)


def key(model, name):
    """Say where a field comes from: one note is enough for every kind of object that can have one."""
    return next(base.__name__ for base in reversed(model.__mro__) if name in getattr(base, "model_fields", ())), name


def models(model, seen):
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for inner in leaves(field.annotation):
                if inspect.isclass(inner) and issubclass(inner, BaseModel):
                    models(inner, seen)
    return seen


def leaves(annotation):
    if not typing.get_args(annotation):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from leaves(argument)
