"""Metrics of all workers, added up, as Prometheus reads them."""

import os

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.observe import families
from gateway.observe.metrics import OTHER, Metrics, render
from gateway.shared.arena import Arena
from gateway.shared.board import SLOTS
from gateway.shared.table import SharedTable


@pytest.fixture
def arena():
    arena = Arena(1 << 28)
    yield arena
    arena.close()


def samples(arena: Arena) -> dict[tuple[str, ...], float]:
    """Parse what would be scraped: name and label values -> number."""
    found = {}
    for family in text_string_to_metric_families(render(arena)):
        for sample in family.samples:
            found[(sample.name, *sample.labels.values())] = sample.value
    return found


def test_counts_of_all_workers_are_added_up(arena):
    for slot in (0, 1, 5):
        Metrics(arena, slot).add(families.REQUESTS, "web", "users", "GET", "200", by=slot + 1)
    assert samples(arena)["gateway_requests_total", "web", "users", "GET", "200"] == 9


def test_the_agent_reads_what_workers_count_in_processes_of_their_own(arena):
    pids = []
    for slot in range(3):
        pid = os.fork()
        if pid == 0:
            metrics = Metrics(Arena(fd=arena.fd), slot)
            at = metrics.at(families.RETRIES, "users")
            for _ in range(1000):
                metrics.values[at] += 1
            os._exit(0)
        pids.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    assert samples(arena)["gateway_retries_total", "users"] == 3000


def test_there_is_room_for_as_many_workers_as_a_node_can_have():
    arena = Arena()
    for slot in range(SLOTS):
        Metrics(arena, slot)
    for number in range(50):
        SharedTable(arena, f"table {number}", values=8)
    assert os.fstat(arena.fd).st_blocks * 512 < 32 << 20  # of addresses, that is, not of memory
    arena.close()


def test_a_successor_goes_on_counting(arena):
    before = Metrics(arena, 0)
    before.add(families.RETRIES, "a", by=5)
    after = Metrics(arena, 0)
    assert after.at(families.RETRIES, "a") == before.at(families.RETRIES, "a")
    after.add(families.RETRIES, "a")
    after.add(families.RETRIES, "b")
    assert samples(arena)["gateway_retries_total", "a"] == 6
    assert Metrics(arena, 0).at(families.RETRIES, "b") == after.at(families.RETRIES, "b")


def test_histograms_are_cumulative_and_end_with_everything(arena):
    metrics = Metrics(arena, 0)
    at = metrics.at(families.OWN, "users")
    bounds = families.OWN.buckets
    metrics.values[at] += 2
    metrics.values[at + 3] += 1
    metrics.values[at + len(bounds)] += 4
    metrics.values[at + len(bounds) + 1] += 12.5
    found = samples(arena)
    name = "gateway_processing_duration_seconds"
    assert [found[f"{name}_bucket", "users", str(bound)] for bound in (*bounds[:5], bounds[-1], "+Inf")] == [2, 2, 2, 3, 3, 3, 7]
    assert (found[f"{name}_sum", "users"], found[f"{name}_count", "users"]) == (12.5, 7)


def test_every_metric_is_described_and_typed_once(arena):
    metrics = Metrics(arena, 0)
    for family in families.FAMILIES:
        metrics.add(family, *["x"] * len(family.labels))
    SharedTable(arena, "limits", rows=1024)
    found = list(text_string_to_metric_families(render(arena)))
    assert len({family.name for family in found}) == len(found) == len(families.FAMILIES) + 3
    assert {family.type for family in found} == {"counter", "histogram", "gauge"}
    assert all(family.documentation for family in found)


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "ä", "", "x" * 300, "\ud800"])
def test_labels_may_hold_anything(arena, value):
    Metrics(arena, 0).add(families.RETRIES, value)
    expected = value[:200].replace("\ud800", "?")
    assert samples(arena)["gateway_retries_total", expected] == 1


def test_a_label_with_the_separator_in_it_cannot_pass_for_two(arena):
    Metrics(arena, 0).add(families.RETRIES, "a\0b")
    assert samples(arena)["gateway_retries_total", "a b"] == 1
    Metrics(arena, 0).add(families.RETRIES, "a\0b")
    assert samples(arena)["gateway_retries_total", "a b"] == 2


def test_series_above_the_cap_are_counted_together(arena):
    metrics = Metrics(arena, 0, most=10)
    for number in range(25):
        metrics.add(families.ERRORS, "users", f"code {number}")
    found = samples(arena)
    codes = {key[2]: value for key, value in found.items() if key[0] == "gateway_errors_total"}
    assert len(codes) == 11
    assert sum(codes.values()) == 25
    assert found["gateway_errors_total", OTHER, OTHER] == 15
    assert found["gateway_metrics_overflow_total", "gateway_errors_total"] == 15
    metrics.add(families.RETRIES, "users")  # other metrics have caps of their own
    assert samples(arena)["gateway_retries_total", "users"] == 1


@pytest.mark.parametrize(("left", "label"), [(5, "gateway_request_duration_seconds"), (0, OTHER)])
def test_a_worker_whose_memory_is_full_goes_on_counting(arena, left, label):
    metrics = Metrics(arena, 0, most=10**9)
    metrics._header[2] = len(metrics.values) - left
    assert metrics.at(families.TOTAL, "users") == metrics.at(families.TOTAL, OTHER)
    assert samples(arena)["gateway_metrics_overflow_total", label] == 1


def test_what_was_never_counted_is_not_shown(arena):
    Metrics(arena, 0)
    assert samples(arena) == {("gateway_access_log_dropped_total",): 0}


def test_tables_report_rows_evictions_and_repairs(arena):
    table = SharedTable(arena, "rate_limit", rows=1024)
    for number in range(3):
        table.acquire(f"k{number}", 1.0, 60.0)
    table.release()
    found = samples(arena)
    assert found["gateway_shared_table_rows", "rate_limit/2"] == 3
    assert found["gateway_shared_table_evictions_total", "rate_limit/2"] == 0
    assert found["gateway_shared_table_repairs_total", "rate_limit/2"] == 0


def test_series_that_this_version_does_not_know_are_left_alone(arena):
    Metrics(arena, 0).add(families.Family("gateway_later_total", "Of a later version.", ("route",)), "users")
    Metrics(arena, 0).add(families.RETRIES, "users")
    assert {key[0] for key in samples(arena)} == {"gateway_retries_total", "gateway_access_log_dropped_total"}
