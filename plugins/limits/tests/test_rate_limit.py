import multiprocessing
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway_limits.rate_limit import RateLimit
from pydantic import ValidationError

from gateway.api import Consumer, Response
from gateway.shared.arena import Arena
from gateway.testing import LoneWorker, make_exchange, make_plugin

ALICE, BOB = Consumer("alice"), Consumer("bob")


def limits(*pairs, **config):
    return {"limits": [{"requests": requests, "per_s": per_s} for requests, per_s in pairs], **config}


def at(now, consumer=ALICE, **fields):
    exchange = make_exchange(consumer=consumer, **fields)
    exchange.started = now
    return exchange


def passed(plugin, count, now=1000.0, consumer=ALICE):
    return sum(plugin.limit(at(now, consumer)) is None for _ in range(count))


def told(plugin, exchange):
    exchange.response = plugin.limit(exchange) or Response(200)
    plugin.transform_response(exchange)
    return exchange.response.headers


def test_lets_the_limit_pass_and_refuses_the_next():
    plugin = make_plugin(RateLimit, limits((3, 60)))
    assert passed(plugin, 3) == 3
    refusal = plugin.limit(at(1000.0))
    assert (refusal.status, refusal.code) == (429, "rate_limited")
    assert refusal.headers.get("Retry-After") == "20"
    assert passed(plugin, 3, now=1020.0) == 1


def test_callers_are_counted_apart():
    plugin = make_plugin(RateLimit, limits((1, 60)))
    assert (passed(plugin, 2), passed(plugin, 2, consumer=BOB)) == (1, 1)


def test_policies_are_counted_apart():
    worker = LoneWorker()
    one, two = (make_plugin(RateLimit, limits((1, 60)), worker=worker, name=name) for name in ("one", "two"))
    assert (passed(one, 2), passed(two, 2)) == (1, 1)


def test_what_one_window_refuses_is_not_counted_in_the_others():
    plugin = make_plugin(RateLimit, limits((2, 1), (5, 1000)))
    assert passed(plugin, 50) == 2
    assert passed(plugin, 50, now=1010.0) == 2
    assert passed(plugin, 50, now=1020.0) == 1  # 2 + 2 of 5, and the refused 94 cost nothing
    assert plugin.limit(at(1021.0)).headers.get("Retry-After") == "179"


def test_a_policy_that_comes_back_finds_its_counts():
    worker = LoneWorker()
    assert passed(make_plugin(RateLimit, limits((3, 60)), worker=worker), 2) == 2
    assert passed(make_plugin(RateLimit, limits((4, 60)), worker=worker), 9) == 2


def test_numbers_of_another_kind_of_window_are_not_misread():
    worker = LoneWorker()
    fixed = {"limits": [{"requests": 1, "per_s": 60, "window": "fixed"}]}
    assert passed(make_plugin(RateLimit, fixed, worker=worker), 2) == 1
    assert passed(make_plugin(RateLimit, limits((1, 60), (1, 61)), worker=worker), 2) == 1


def test_a_fixed_window_counts_its_requests():
    plugin = make_plugin(RateLimit, {"limits": [{"requests": 3, "per_s": 366 * 86400, "window": "fixed"}]})
    assert passed(plugin, 9) == 3


def test_the_status_is_configurable():
    plugin = make_plugin(RateLimit, limits((1, 60), status=503))
    plugin.limit(at(1.0))
    assert plugin.limit(at(1.0)).status == 503


class TestHeaders:
    def test_say_what_is_left(self):
        plugin = make_plugin(RateLimit, limits((10, 60)))
        headers = told(plugin, at(1000.0))
        assert headers.get("RateLimit-Policy") == '"60s";q=10;w=60'
        assert headers.get("RateLimit") == '"60s";r=9;t=6'

    def test_name_the_window_that_ends_first(self):
        plugin = make_plugin(RateLimit, limits((5, 1), (3, 60)))
        headers = told(plugin, at(1000.0))
        assert headers.get("RateLimit-Policy") == '"1s";q=5;w=1, "60s";q=3;w=60'
        assert headers.get("RateLimit") == '"60s";r=2;t=20'

    def test_are_on_refusals_too(self):
        plugin = make_plugin(RateLimit, limits((1, 60)))
        plugin.limit(at(1000.0))
        headers = told(plugin, at(1000.0))
        assert headers.get("RateLimit") == '"60s";r=0;t=60'
        assert headers.get("Retry-After") == "60"

    def test_are_absent_when_another_policy_refused_before(self):
        plugin = make_plugin(RateLimit, limits((1, 60)))
        exchange = make_exchange(response=Response(401))
        plugin.transform_response(exchange)
        assert len(exchange.response.headers) == 0

    @pytest.mark.parametrize(("config", "enforce"), [({"headers": False}, True), ({}, False)])
    def test_can_be_switched_off_and_say_nothing_of_limits_not_enforced(self, config, enforce):
        plugin = make_plugin(RateLimit, limits((1, 60), **config), enforce=enforce)
        assert "RateLimit" not in told(plugin, at(1000.0))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"limits": []},
        limits((0, 60)),
        limits((1, 0)),
        limits((1, 60), (2, 60)),
        limits((1, 60), by="colour"),
        limits((1, 60), by="header:"),
        {"limits": [{"requests": 1, "per_s": 1, "burst": 2, "window": "fixed"}]},
    ],
)
def test_refuses_settings_that_mean_nothing(config):
    with pytest.raises(ValidationError):
        make_plugin(RateLimit, config)


def test_every_setting_is_described():
    assert all(field.description for field in RateLimit.Config.model_fields.values())


def _hammer(fd, ready, results):
    plugin = make_plugin(RateLimit, limits((1000, 1e6), (5000, 2e6)), worker=LoneWorker(Arena(fd=fd)))
    ready.wait()
    results.put(passed(plugin, 2000))


def test_is_exact_across_processes():
    context = multiprocessing.get_context("fork")
    arena = Arena(1 << 24)
    arena.sharers[0] = 4
    ready, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_hammer, args=(os.dup(arena.fd), ready, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    total = sum(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(10)
    assert total == 1000


def test_a_gateway_lets_exactly_the_limit_pass_over_several_workers(run_gateway, echo):
    gateway = run_gateway(workers=2, policies=[{"plugin": "rate_limit", "config": limits((20, 3600), by="ip")}])
    barrier = threading.Barrier(8)

    def client(_):
        barrier.wait()
        return [gateway.get("/") for _ in range(10)]

    with ThreadPoolExecutor(8) as clients:
        replies = [reply for each in clients.map(client, range(8)) for reply in each]
    refused = [reply for reply in replies if reply.status == 429]
    assert len(echo.requests) == sum(reply.status == 200 for reply in replies) == 20
    assert all(0 < int(reply.headers.get("Retry-After")) <= 180 for reply in refused)
    assert all(re.fullmatch(r'"3600s";r=\d+;t=\d+', reply.headers.get("RateLimit")) for reply in replies)
