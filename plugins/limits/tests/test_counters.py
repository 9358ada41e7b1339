"""The quick counters give the verdicts of the plain one."""

from array import array

import pytest
from gateway_limits.counters import MixedCounter, OneCounter, RollingCounter, counter_of
from gateway_limits.windows import Fixed, Rolling
from hypothesis import given
from hypothesis import strategies as st

rates = st.tuples(st.integers(1, 20), st.floats(0.1, 10), st.integers(1, 25))
gaps = st.lists(st.floats(-0.01, 0.5), min_size=1, max_size=150)


def row(size):
    return memoryview(array("d", [0.0] * size))


@pytest.mark.parametrize(
    ("windows", "kind"),
    [
        ([Rolling("a", 1, 1, 1)], OneCounter),
        ([Rolling("a", 1, 1, 1), Rolling("b", 1, 2, 1)], RollingCounter),
        ([Fixed("a", 1, 1)], MixedCounter),
        ([Rolling("a", 1, 1, 1), Fixed("b", 1, 2)], MixedCounter),
    ],
)
def test_the_quickest_that_fits_is_chosen(windows, kind):
    assert type(counter_of(windows)) is kind


@given(st.lists(rates, min_size=1, max_size=3), gaps)
def test_quick_counters_agree_with_the_plain_one(settings, steps):
    windows = [Rolling(f"w{index}", *rate) for index, rate in enumerate(settings)]
    quick, plain = counter_of(windows), MixedCounter(windows)
    one, other = row(2 * len(windows)), row(2 * len(windows))
    now = 1000.0
    for step in steps:
        now += step
        (wait, memo), (expected, state) = quick.count(one, 0, now), plain.count(other, 0, now)
        assert wait == pytest.approx(expected, abs=1e-12)
        assert one.tolist() == other.tolist()
        assert quick.nearest(memo) == plain.nearest(state)


def test_nothing_is_counted_unless_it_conforms_to_every_window():
    windows = [Rolling("a", 5, 1000, 5), Fixed("b", 1, 366 * 86400)]
    values = row(4)
    counter = counter_of(windows)
    assert counter.count(values, 0, 10.0)[0] == 0
    before = values.tolist()
    for _ in range(3):
        assert counter.count(values, 0, 10.0)[0] > 0
    assert values.tolist() == before
