import pytest

from gateway.api import Consumer, Plugin, Reject, hookimpl
from gateway.hooks.order import EXCHANGE
from gateway.hooks.plan import Plan
from gateway.model.route import Route
from gateway.model.snapshot import Snapshot
from tests.hooks.support import Events, Note, exchange, policy, run, snapshot


@pytest.fixture
def events():
    return Events()


def order(plan, made=None):
    made = made or exchange()
    run(plan.limit, made)
    return made.notes.get("order")


def note(word, **fields):
    return policy("note", name=word, config={"word": word}, **fields)


def test_has_one_attribute_per_hook_in_running_order():
    assert Plan.__slots__[: len(EXCHANGE)] == EXCHANGE


def test_an_unused_hook_is_an_empty_tuple(events):
    plan = events.load(snapshot([note("a")]))["r"]
    assert {hook for hook in EXCHANGE if getattr(plan, hook)} == {"limit", "transform_request"}


def test_steps_are_plain_bound_methods(events):
    plan = events.load(snapshot([note("a")]))["r"]
    assert plan.limit[0].__func__ is Note.limit
    assert plan.owners[plan.limit[0]].id == "route/r/a"


def test_runs_gateway_then_api_then_route(events):
    plan = events.load(snapshot([note("r1"), note("r2")], gateway=[note("g")], api=[note("a")]))["r"]
    assert order(plan) == ["g", "a", "r1", "r2"]


def test_tryfirst_and_trylast_come_before_the_order_of_policies(events):
    plan = events.load(snapshot([note("a"), policy("last"), policy("first"), note("b")]))["r"]
    assert order(plan) == ["first", "a", "b", "last"]


def test_a_disabled_policy_hides_the_inherited_one_and_has_no_instance(events):
    plan = events.load(snapshot([note("g", enabled=False)], gateway=[note("g"), note("h")]))["r"]
    assert order(plan) == ["h"]
    assert ("start", "route/r/g") not in Note.happened


def test_routes_without_policies_of_their_own_share_instances_and_chain(events):
    routes = {name: Route(name=name, api="a") for name in ("one", "two")}
    plans = events.load(snapshot(routes=routes, gateway=[note("g")], api=[note("a")]))
    assert plans["one"].chain is plans["two"].chain
    assert Note.happened == [("start", "gateway/g"), ("start", "api/a/a")]


def test_exchanges_without_a_route_meet_the_gateway_policies(events):
    plans = events.load(snapshot([note("r")], gateway=[note("g")]))
    assert order(plans.unrouted) == ["g"]
    assert plans.unrouted.route is None


def test_a_condition_decides_per_exchange(events):
    plan = events.load(snapshot([note("a", when={"methods": ["POST"]})]))["r"]
    assert order(plan, exchange("GET")) is None
    assert order(plan, exchange("POST")) == ["a"]
    assert plan.owners[plan.limit[0]].label == "a"


def test_a_condition_looks_at_the_request_before_anything_changes_it():
    class Stamp(Plugin):
        """Stamp responses."""

        name = "stamp"

        @hookimpl
        def transform_response(self, exchange):
            exchange.notes["stamped"] = True

    plan = Events(Stamp).load(snapshot([policy("stamp", when={"paths": ["/public"]})]))["r"]
    made = exchange(path="/public")
    assert run(plan.limit, made) is None
    made.request.path = "/rewritten"
    run(plan.transform_response, made)
    assert made.notes["stamped"]


def test_hooks_that_an_instance_does_not_use_are_left_out():
    class Half(Plugin):
        """Use what the settings ask for."""

        name = "half"

        class Config(Plugin.Config):
            log: bool = False

        def __init__(self, config, policy):
            super().__init__(config, policy)
            self.unused = frozenset() if config.log else frozenset({"log"})

        @hookimpl
        def limit(self, exchange):
            pass

        @hookimpl
        def log(self, exchange):
            pass

    events = Events(Half)
    assert events.load(snapshot([policy("half")]))["r"].log == ()
    assert len(events.load(snapshot([policy("half", config={"log": True})]))["r"].log) == 1


def test_without_enforcement_a_refusal_is_counted_and_nothing_else(events):
    plan = events.load(snapshot([policy("closed", enforce=False)]))["r"]
    made = exchange()
    assert run(plan.authorize, made) is None
    assert events.shadowed == ["route/r/closed"]
    assert made.notes["gateway.shadow route/r/closed"] == "closed"


def test_without_enforcement_a_failing_plugin_refuses_nothing():
    class Bad(Plugin):
        """Raise."""

        name = "bad"

        @hookimpl
        def authorize(self, exchange):
            raise RuntimeError

    events = Events(Bad)
    plan = events.load(snapshot([policy("bad", enforce=False)]))["r"]
    assert run(plan.authorize, exchange()) is None
    assert events.failed == [("route/r/bad", "authorize")]


def test_hooks_that_take_fewer_arguments_get_those_they_name():
    class Picky(Plugin):
        """Take what is needed."""

        name = "picky"

        @hookimpl
        def select_backend(self, candidates):
            return candidates[0]

        @hookimpl
        def log(self):
            pass

    plan = Events(Picky).load(snapshot([policy("picky")]))["r"]
    assert plan.select_backend[0](exchange(), ("one", "two")) == "one"
    plan.log[0](exchange())


class TestAuthentication:
    def test_the_first_answer_wins(self, events):
        plan = events.load(snapshot([policy("badge", name="a"), policy("badge", name="b", config={"header": "other"})]))["r"]
        assert run(plan.authenticate, exchange(headers=[("other", "bob")])).name == "bob"
        assert run(plan.authenticate, exchange(headers=[("badge", "alice"), ("other", "bob")])).name == "alice"

    def test_nobody_named_is_401_with_every_challenge(self, events):
        plan = events.load(snapshot([policy("badge", name="a"), policy("badge", name="b", config={"header": "other"})]))["r"]
        refusal = run(plan.authenticate, exchange())
        assert (refusal.status, refusal.code) == (401, "unauthenticated")
        assert refusal.headers.get_all("WWW-Authenticate") == ["Badge badge", "Badge other"] == list(plan.challenges)
        assert plan.owners[plan.authenticate[-1]].label == "a"

    def test_a_method_whose_condition_does_not_hold_asks_for_nothing(self, events):
        plan = events.load(snapshot([policy("badge", when={"paths": ["/private"]})]))["r"]
        assert run(plan.authenticate, exchange(path="/public")) is None
        assert run(plan.authenticate, exchange(path="/private")).status == 401

    def test_a_method_in_shadow_mode_asks_for_nothing_and_is_counted_once(self, events):
        plan = events.load(snapshot([policy("badge", enforce=False)]))["r"]
        assert run(plan.authenticate, exchange()) is None
        assert run(plan.authenticate, exchange(headers=[("badge", "forged")])) is None
        assert events.shadowed == ["route/r/badge"] * 2

    def test_a_broken_method_lets_another_name_the_caller_and_otherwise_refuses(self, events):
        plan = events.load(snapshot([policy("badge", name="broken", config={"colour": "red"}), policy("badge", name="works")]))["r"]
        assert run(plan.authenticate, exchange(headers=[("badge", "alice")])).name == "alice"
        assert run(plan.authenticate, exchange()).code == "policy_unavailable"


class TestBroken:
    def test_settings_that_do_not_fit_refuse_where_a_refusal_is_safe_and_do_nothing_elsewhere(self, events):
        plan = events.load(snapshot([policy("note", config={"colour": "red"})]))["r"]
        refusal = run(plan.limit, exchange())
        assert (refusal.status, refusal.code) == (503, "policy_unavailable")
        assert plan.transform_request == ()
        assert plan.owners[plan.limit[0]].label == "note"
        assert events.failed == [("route/r/note", "start")]

    def test_every_refusal_is_a_response_of_its_own(self, events):
        step = events.load(snapshot([policy("note", config={"colour": "red"})]))["r"].limit[0]
        assert step(exchange()) is not step(exchange())

    def test_a_missing_plugin_refuses_after_authentication(self, events):
        events.registry.failed["gone"] = "acme-gone 1.0: ImportError: no module"
        plan = events.load(snapshot([policy("gone"), policy("badge")]))["r"]
        assert run(plan.authenticate, exchange(headers=[("badge", "alice")])).name == "alice"
        assert "acme-gone 1.0" in run(plan.authorize, exchange()).detail

    def test_a_plugin_that_raises_while_it_starts_is_reported(self, events):
        plan = events.load(snapshot([policy("note", config={"fail_at_start": True})]))["r"]
        assert isinstance(run(plan.limit, exchange()), Reject)
        assert events.failed == [("route/r/note", "start")]

    def test_a_condition_still_decides_where_it_refuses(self, events):
        plan = events.load(snapshot([policy("note", config={"colour": "red"}, when={"methods": ["POST"]})]))["r"]
        assert run(plan.limit, exchange("GET")) is None
        assert run(plan.limit, exchange("POST")).status == 503

    def test_is_tried_again_with_the_next_snapshot(self, events, monkeypatch):
        broken = snapshot([policy("note", config={"word": "$env:NOTE_WORD"})])
        assert run(events.load(broken)["r"].limit, exchange()).status == 503
        monkeypatch.setenv("NOTE_WORD", "now")
        assert order(events.load(broken)["r"]) == ["now"]


class TestChange:
    def test_what_stays_the_same_stays_the_same_object(self, events):
        first = snapshot([note("a")], gateway=[note("g")])
        before = events.load(first)
        routes = {**first.routes, "new": Route(name="new")}
        after = events.load(Snapshot(policies=first.policies, apis=first.apis, routes=routes))
        assert after["r"] is before["r"]
        assert after.changed == ["new"]

    def test_an_equal_policy_in_a_new_route_keeps_its_instance(self, events):
        before = events.load(snapshot([note("a"), note("b")]))["r"]
        after = events.load(snapshot([note("b"), note("a")]))["r"]
        assert after is not before
        assert [step.__self__ for step in after.limit] == [step.__self__ for step in reversed(before.limit)]
        events.planner.release()
        assert [what for what, _ in Note.happened] == ["start", "start"]

    def test_a_new_condition_keeps_the_instance(self, events):
        before = events.load(snapshot([note("a")]))["r"].limit[0].__self__
        events.load(snapshot([note("a", when={"methods": ["GET"]})]))
        assert events.load(snapshot([note("a")]))["r"].limit[0].__self__ is before

    def test_new_settings_make_a_new_instance_and_the_old_one_stops_only_when_released(self, events):
        events.load(snapshot([note("a")]))
        events.load(snapshot([policy("note", name="a", config={"word": "b"})]))
        assert [what for what, _ in Note.happened] == ["start", "start"]
        events.planner.release()
        assert [what for what, _ in Note.happened] == ["start", "start", "stop"]

    def test_a_removed_route_stops_its_instances(self, events):
        events.load(snapshot([note("a")], gateway=[note("g")]))
        events.load(snapshot(routes={}, gateway=[note("g")]))
        events.planner.release()
        assert Note.happened[-1] == ("stop", "route/r/a")
        assert len(Note.happened) == 3

    def test_discarded_plans_stop_what_they_started_and_nothing_else(self, events):
        events.load(snapshot([note("a")]))
        events.planner.discard(events.planner.compile(snapshot([note("a"), note("b")])))
        assert Note.happened[1:] == [("start", "route/r/b"), ("stop", "route/r/b")]

    def test_the_end_of_a_worker_stops_everything(self, events):
        alice = Consumer("alice", policies=(note("mine"),))
        plans = events.load(snapshot([note("a")], gateway=[note("g")], consumers={"alice": alice}))
        plans["r"].for_consumer(alice)
        events.planner.release_all()
        started = {policy_id for what, policy_id in Note.happened if what == "start"}
        assert {policy_id for what, policy_id in Note.happened if what == "stop"} == started
        assert len(started) == 3

    def test_pauses_now_and_then(self, events):
        routes = {f"r{n}": Route(name=f"r{n}") for n in range(3000)}
        pauses = []
        events.planner.compile(snapshot(routes=routes), lambda: pauses.append(1))
        assert pauses


class TestConsumers:
    def test_a_consumer_without_policies_has_the_plan_of_the_route(self, events):
        plan = events.load(snapshot([note("a")]))["r"]
        assert plan.for_consumer(Consumer("bob")) is plan

    def test_policies_of_the_consumer_come_last_and_replace_those_of_the_same_name(self, events):
        plan = events.load(snapshot([note("a"), note("b")]))["r"]
        alice = Consumer("alice", policies=(policy("note", name="a", config={"word": "alice's"}), note("c")))
        plan.target = object()
        mine = plan.for_consumer(alice)
        assert order(mine) == ["alice's", "b", "c"]
        assert mine.owners[mine.limit[0]].id == "consumer/alice/a"
        assert (mine.route, mine.target) == (plan.route, plan.target)
        assert plan.for_consumer(alice) is mine

    def test_the_plan_follows_the_target_of_the_route(self, events):
        plan = events.load(snapshot([note("a")]))["r"]
        alice = Consumer("alice", policies=(note("c"),))
        plan.for_consumer(alice)
        plan.target = "moved"
        assert plan.for_consumer(alice).target == "moved"

    def test_what_is_counted_is_counted_in_one_place(self, events):
        plan = events.load(snapshot([note("a")]))["r"]
        alice, bob = (Consumer(name, policies=(note("c"),)) for name in ("alice", "bob"))
        series = plan.for_consumer(alice).series = object()
        assert plan.for_consumer(alice).series is series
        assert plan.series is series
        assert plan.for_consumer(bob).series is series

    def test_an_unchanged_consumer_keeps_its_instances_over_snapshots(self, events):
        alice = Consumer("alice", policies=(note("c"),))
        first = snapshot([note("a")], consumers={"alice": alice})
        before = events.load(first)["r"].for_consumer(alice).limit[-1]
        after = events.load(snapshot([note("b")], consumers={"alice": alice}))["r"].for_consumer(alice).limit[-1]
        assert after.__self__ is before.__self__

    def test_a_removed_consumer_stops_its_instances(self, events):
        alice = Consumer("alice", policies=(note("c"),))
        events.load(snapshot(consumers={"alice": alice}))["r"].for_consumer(alice)
        events.load(snapshot())
        events.planner.release()
        assert Note.happened == [("start", "consumer/alice/c"), ("stop", "consumer/alice/c")]

    def test_keeps_a_bounded_number_of_personal_plans(self, events, monkeypatch):
        monkeypatch.setattr("gateway.hooks.plan.PERSONAL_MOST", 3)
        plan = events.load(snapshot())["r"]
        consumers = [Consumer(name, policies=(note("c"),)) for name in "abcde"]
        kept = [plan.for_consumer(consumer) for consumer in consumers]
        assert plan.for_consumer(consumers[-1]) is kept[-1]
        assert plan.for_consumer(consumers[0]) is not kept[0]


def test_says_why_a_policy_is_broken_without_quoting_its_settings(events, caplog):
    plan = events.load(snapshot([policy("badge", config={"header": 5, "secret_word": "hush"})]))["r"]
    detail = run(plan.authenticate, exchange()).detail
    assert "header: Input should be a valid string; secret_word: Extra inputs are not permitted" in detail
    assert "hush" not in detail + caplog.text
