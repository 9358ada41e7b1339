import importlib
import sys

import pytest

from gateway.api import Balancer, Plugin, hookimpl
from gateway.hooks.manager import ALL_HOOKS, PluginError, Registry, build_manager, load_plugins
from gateway.hooks.order import EXCHANGE, FAIL_CLOSED, FIRST_RESULT
from gateway.hooks.specs import Hooks


def plugin(**members):
    return type("Made", (Plugin,), {"name": "made", "__doc__": "Do a thing.\n\nAnd more.", **members})


def refused(candidate) -> str:
    registry = Registry()
    with pytest.raises(PluginError) as caught:
        registry.add(candidate, "acme-made", "1.0")
    assert not registry.plugins and not registry.catalogue()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_hook_is_specified_and_has_its_place_in_the_order():
    specified = {name for name in vars(Hooks) if not name.startswith("_")}
    assert specified == set(ALL_HOOKS)
    assert EXCHANGE == (
        "authenticate", "authorize", "limit", "transform_request", "respond",
        "select_backend", "aggregate", "transform_response", "log",
    )  # fmt: skip


def test_the_hooks_that_stop_at_an_answer_are_those_that_pluggy_stops():
    hooks = build_manager().hook
    assert {name for name in EXCHANGE if getattr(hooks, name).spec.opts["firstresult"]} == FIRST_RESULT
    assert FAIL_CLOSED < FIRST_RESULT


def test_takes_a_plugin_with_its_catalogue_entry():
    class Mark(Plugin):
        """Mark requests."""

        name = "mark"

        @hookimpl
        def transform_request(self, exchange):
            pass

        @hookimpl(specname="log")
        def write_down(self, exchange):
            pass

    registry = Registry()
    registry.add(Mark, "acme-mark", "1.2")
    (info,) = registry.catalogue()
    assert (info.name, info.kind, info.summary) == ("mark", "plugin", "Mark requests.")
    assert (info.distribution, info.version) == ("acme-mark", "1.2")
    assert info.hooks == ("transform_request", "log")
    assert info.config_schema()["type"] == "object"
    assert [implementation.attribute for implementation in registry.implementations["mark"]] == ["transform_request", "write_down"]


def test_takes_a_balancer():
    class Any(Balancer):
        """Take any."""

        name = "any"

    registry = Registry()
    registry.add(Any)
    assert registry.balancers == {"any": Any}
    assert registry.catalogue()[0].kind == "balancer"


def test_a_misspelt_hook_is_refused_with_the_right_spelling():
    assert "there is no hook 'transfrom_request'; did you mean 'transform_request'?" in refused(
        plugin(transfrom_request=hookimpl(lambda self, exchange: None))
    )


def test_a_wrong_argument_is_refused():
    def limit(self, request):
        pass

    limit.__qualname__ = "Made.limit"
    assert "request" in refused(plugin(limit=hookimpl(limit)))


def test_a_hook_without_its_mark_is_refused():
    def limit(self, exchange):
        pass

    assert "limit is named like a hook but not marked @hookimpl" in refused(plugin(limit=limit))


def test_an_override_without_its_mark_is_refused():
    class Base(Plugin):
        name = "base"

        @hookimpl
        def limit(self, exchange):
            pass

    class Below(Base):
        name = "below"

        def limit(self, exchange):
            pass

    assert "not marked" in refused(Below)


def test_wrappers_and_coroutines_are_refused():
    class Wrapper(Plugin):
        name = "wrapper"

        @hookimpl(wrapper=True)
        def limit(self, exchange):
            yield

    class Coroutine(Plugin):
        name = "coroutine"

        @hookimpl
        async def limit(self, exchange):
            pass

    assert "wrapped" in refused(Wrapper)
    assert "plain methods" in refused(Coroutine)


@pytest.mark.parametrize(("version", "advice"), [(2, "upgrade the gateway"), (0, "upgrade the plugin")])
def test_another_version_of_the_hook_contract_is_refused(version, advice):
    assert advice in refused(plugin(api=version))


@pytest.mark.parametrize("name", [None, "", "Made", "key-auth", 7])
def test_a_name_that_is_no_word_is_refused(name):
    assert "name" in refused(plugin(name=name))


def test_settings_that_are_no_model_are_refused():
    assert "pydantic" in refused(plugin(Config=dict))


def test_something_else_than_a_plugin_is_refused():
    assert "not a subclass" in refused(object)


def test_two_methods_for_one_hook_are_refused():
    class Twice(Plugin):
        name = "twice"

        @hookimpl
        def limit(self, exchange):
            pass

        @hookimpl(specname="limit")
        def other(self, exchange):
            pass

    assert "both implement limit" in refused(Twice)


def test_a_refused_plugin_leaves_no_trace_in_the_manager():
    registry = Registry()
    with pytest.raises(PluginError):
        registry.add(plugin(lmit=hookimpl(lambda self, exchange: None)))
    registry.add(plugin(limit=hookimpl(lambda exchange: None)))
    registry.manager.check_pending()


class TestInstalled:
    @pytest.fixture
    def install(self, tmp_path, monkeypatch):
        """Put a distribution on the path, as pip would: a module and its metadata."""
        monkeypatch.syspath_prepend(str(tmp_path))
        modules = []

        def install(distribution, module, code, entries, group="gateway.plugins"):
            (tmp_path / f"{module}.py").write_text(code)
            folder = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
            (folder / "entry_points.txt").write_text(
                f"[{group}]\n" + "".join(f"{name} = {module}:{cls}\n" for name, cls in entries.items())
            )
            importlib.invalidate_caches()
            modules.append(module)

        yield install
        for module in modules:
            sys.modules.pop(module, None)

    GOOD = """
from gateway.api import Plugin, hookimpl
class Good(Plugin):
    "Be good."
    name = "good_one"
    @hookimpl
    def log(self, exchange): pass
"""

    def test_a_broken_distribution_beside_a_good_one_is_named_and_nothing_more(self, install, caplog):
        install("acme-broken", "acme_broken", "import nothing_of_this_name", {"broken_one": "X"})
        install("acme-exit", "acme_exit", "import sys; sys.exit('not me')", {"exit_one": "X"})
        install("acme-good", "acme_good", self.GOOD, {"good_one": "Good"})
        with caplog.at_level("INFO"):
            registry = load_plugins()
        assert "good_one" in registry.plugins
        assert registry.distributions["acme-good"] == "1.0"
        assert registry.failed["broken_one"].startswith("acme-broken 1.0: ModuleNotFoundError: No module named 'nothing_of_this_name'")
        assert registry.failed["exit_one"] == "acme-exit 1.0: SystemExit: not me"
        assert all("\n" not in reason for reason in registry.failed.values())
        assert "acme-broken 1.0 is not usable" in caplog.text
        assert "Traceback" in caplog.text

    def test_of_two_with_one_name_the_first_distribution_wins_and_the_other_is_named(self, install):
        install("acme-b", "acme_b", self.GOOD, {"good_one": "Good"})
        install("acme-a", "acme_a", self.GOOD, {"good_one": "Good"})
        registry = load_plugins()
        assert registry.plugins["good_one"].__module__ == "acme_a"
        assert registry.failed["good_one"] == "acme-b 1.0: the name 'good_one' is taken by acme-a"

    def test_an_entry_point_must_be_called_as_its_class(self, install):
        install("acme-good", "acme_good", self.GOOD, {"other_name": "Good"})
        assert "the class 'good_one'" in load_plugins().failed["other_name"]

    def test_a_plugin_among_the_balancers_is_refused(self, install):
        install("acme-good", "acme_good", self.GOOD, {"good_one": "Good"}, group="gateway.balancers")
        assert "is not a Balancer" in load_plugins().failed["good_one"]
