"""The arithmetic against a model that never rounds."""

from array import array
from fractions import Fraction

import pytest
from gateway_limits.windows import Fixed, Rolling
from hypothesis import given
from hypothesis import strategies as st


def row():
    return memoryview(array("d", [0.0, 0.0]))


def admit(window, values, now, wall=0.0):
    if window.waits(values, 0, now, wall):
        return False
    window.take(values, 0, now, wall)
    return True


@pytest.mark.parametrize("requests", [1, 3, 7, 100, 9999])
@pytest.mark.parametrize("per_s", [1, 60, 0.3, 86400, 7e6])
@pytest.mark.parametrize("uptime", [0.5, 1e5, 3e7])
def test_from_rest_exactly_the_burst_passes_at_once(requests, per_s, uptime):
    window, values = Rolling("w", requests, per_s, requests), row()
    assert sum(admit(window, values, uptime) for _ in range(requests + 50)) == requests
    assert window.state(values, 0, uptime, 0)[0] == 0


def test_counts_down_what_is_left():
    window, values = Rolling("w", 5, 10, 5), row()
    assert [window.take(values, 0, 100.0, 0)[0] for _ in range(5)] == [4, 3, 2, 1, 0]


def test_refills_one_by_one_and_says_when():
    window, values = Rolling("w", 5, 10, 5), row()
    for _ in range(5):
        assert admit(window, values, 100.0)
    assert window.waits(values, 0, 100.0, 0) == pytest.approx(2.0)
    assert not admit(window, values, 101.9)
    assert admit(window, values, 102.0)
    assert not admit(window, values, 102.0)
    assert window.state(values, 0, 110.5, 0)[:2] == (4, pytest.approx(1.5))
    assert window.state(values, 0, 200.0, 0)[:2] == (5, 0.0)


def test_exchanges_that_arrive_out_of_order_do_not_turn_time_back():
    window, values = Rolling("w", 5, 10, 5), row()
    assert [admit(window, values, now) for now in (100.0, 99.0, 98.0, 100.0, 97.0, 100.0, 99.0)] == [True] * 5 + [False] * 2
    assert window.waits(values, 0, 100.0, 0) == pytest.approx(2.0)


def test_a_burst_of_one_spaces_requests_out():
    window, values = Rolling("w", 10, 1, 1), row()
    times = [t / 1000 for t in range(5000, 7000)]
    assert sum(admit(window, values, now) for now in times) in (20, 21)


@given(
    requests=st.integers(1, 50),
    burst=st.integers(1, 60),
    steps=st.lists(st.integers(0, 3000), min_size=1, max_size=200),
)
def test_agrees_with_exact_arithmetic(requests, burst, steps):
    window, values = Rolling("w", requests, 1, burst), row()
    level, now, before = Fraction(0), Fraction(10_000), Fraction(0)
    for step in steps:
        now += Fraction(step, 10_000)
        level = max(level - (now - before) * requests, Fraction(0))
        before = now
        admitted = admit(window, values, float(now))
        if level + 1 <= burst:
            assert admitted
        elif level + 1 > burst + Fraction(1, 63):
            assert not admitted
        level += admitted


@given(requests=st.integers(1, 30), gaps=st.lists(st.floats(0, 2), min_size=1, max_size=300), length=st.floats(0.01, 20))
def test_never_lets_more_pass_in_any_span_than_promised(requests, gaps, length):
    window, values = Rolling("w", requests, 1, requests), row()
    now, passed = 500.0, []
    for gap in gaps:
        now += gap
        if admit(window, values, now):
            passed.append(now)
    for start in passed:
        assert sum(start <= t <= start + length for t in passed) <= requests + length * requests + 1 / 64 + 1e-6


def test_a_fixed_window_starts_anew_on_the_clock():
    window, values = Fixed("w", 3, 60), row()
    noon = 1_700_000_000 // 60 * 60
    assert [admit(window, values, 0, noon + 59) for _ in range(4)] == [True, True, True, False]
    assert window.waits(values, 0, 0, noon + 59) == 1
    assert window.state(values, 0, 0, noon + 59)[:2] == (0, 1)
    assert admit(window, values, 0, noon + 60)
    assert window.state(values, 0, 0, noon + 60)[:2] == (2, 60)


def test_windows_that_keep_different_numbers_say_so():
    assert Rolling("a", 1, 60, 1).layout != Fixed("a", 1, 60).layout != Fixed("a", 1, 61).layout
    assert Rolling("a", 1, 60, 1).layout == Rolling("b", 500, 6, 9).layout  # a new rate goes on from what was counted
