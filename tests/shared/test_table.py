"""The table shared by the workers: exact whoever changes it, and whoever dies."""

import os
import random
import select
import signal
import time
from collections.abc import Callable

import pytest

from gateway.shared.arena import Arena
from gateway.shared.table import SharedTable


@pytest.fixture
def arena():
    arena = Arena(1 << 26)
    yield arena
    arena.close()


def child(work: Callable[[], None]) -> int:
    """Run the work in a forked process and return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return pid


def ended_well(pids: list[int]) -> bool:
    return all(os.waitpid(pid, 0)[1] == 0 for pid in pids)


def add(table: SharedTable, key: str, value: float = 1.0) -> None:
    at = table.acquire(key, time.monotonic(), 60)
    table.values[at] += value
    table.release()


def read(table: SharedTable, key: str) -> list[float]:
    at = table.acquire(key, time.monotonic(), 60)
    found = table.values[at : at + table.width].tolist()
    table.release()
    return found


def test_keeps_numbers_by_key(arena):
    table = SharedTable(arena, "t", values=3, rows=4096)
    for number in range(500):
        add(table, f"key {number}", number)
    assert [read(table, f"key {number}") for number in range(500)] == [[number, 0.0, 0.0] for number in range(500)]
    assert len(table) == 500
    assert table.evictions == 0


def test_text_and_octets_are_the_same_key(arena):
    table = SharedTable(arena, "t", values=1, rows=4096)
    add(table, "alice")
    assert read(table, b"alice") == [1.0]  # type: ignore[arg-type]


def test_a_row_is_forgotten_when_it_was_not_used_for_its_lifetime(arena):
    table = SharedTable(arena, "t", values=1, rows=4096)
    for now, expected in ((100.0, 0.0), (109.0, 1.0), (118.0, 2.0), (128.5, 0.0)):
        at = table.acquire("k", now, 10.0)
        assert table.values[at] == expected
        table.values[at] += 1
        table.release()


def test_a_full_table_forgets_the_expired_first_and_then_the_least_recently_used(arena):
    table = SharedTable(arena, "t", values=1, rows=64 * 16)  # one window per stripe
    same_stripe = [key for key in map(str, range(4000)) if table._place(key)[4] == 0][:18]
    for second, key in enumerate(same_stripe[:16]):
        at = table.acquire(key, 100.0 + second, 50.0 if second != 7 else 1.0)
        table.values[at] = second + 1
        table.release()
    table.acquire(same_stripe[16], 120.0, 50.0)
    assert table.evictions == 0  # number 7 had expired
    table.acquire(same_stripe[17], 121.0, 50.0)
    assert table.evictions == 1  # number 0 had been idle for longest
    kept = [table.values[table.acquire(key, 122.0, 50.0)] for key in same_stripe[1:7] + same_stripe[8:16]]
    table.release()
    assert kept == [*range(2, 8), *range(9, 17)]
    assert len(table) == 16


def test_another_process_finds_the_same_rows(arena):
    table = SharedTable(arena, "t", values=2, rows=4096)

    def work():
        mine = SharedTable(Arena(fd=arena.fd), "t", values=2, rows=4096)
        add(mine, "k", 4.5)

    assert ended_well([child(work)])
    assert read(table, "k") == [4.5, 0.0]


def test_counts_exactly_when_many_processes_add_at_once(arena):
    table = SharedTable(arena, "t", values=2, rows=1024)
    keys = ["a", "b", "c"]

    def work():
        for number in range(8000):
            at = table.acquire(keys[number % 3], time.monotonic(), 60)
            table.values[at] += 1
            table.values[at + 1] -= 1
            table.release()

    assert ended_well([child(work) for _ in range(4)])
    assert sum(read(table, key)[0] for key in keys) == 32000
    assert sum(read(table, key)[1] for key in keys) == -32000


def test_makes_each_row_once_when_many_processes_bring_new_keys(arena):
    table = SharedTable(arena, "t", values=1, rows=1 << 14)

    def work():
        numbers = list(range(2000))
        random.shuffle(numbers)
        for number in numbers:
            add(table, f"key {number}")

    assert ended_well([child(work) for _ in range(4)])
    assert len(table) == 2000
    assert all(read(table, f"key {number}") == [4.0] for number in range(2000))


def test_moves_between_rows_keep_their_sum_whatever_the_order_of_the_keys(arena):
    table = SharedTable(arena, "t", values=1, rows=1024)

    def work():
        order = random.Random(os.getpid())
        for _ in range(4000):
            keys = order.sample("abcdefgh", 3)
            with table.locked(keys, time.monotonic(), 60) as (one, two, three):
                table.values[one] += 2
                table.values[two] -= 1
                table.values[three] -= 1

    assert ended_well([child(work) for _ in range(3)])
    assert sum(read(table, key)[0] for key in "abcdefgh") == 0
    assert any(read(table, key)[0] for key in "abcdefgh")


def test_a_process_killed_while_it_holds_a_row_stalls_nobody(arena):
    table = SharedTable(arena, "t", values=1, rows=1024)
    add(table, "k")
    readable, writable = os.pipe()

    def work():
        table.acquire("k", time.monotonic(), 60)
        os.write(writable, b"held")
        signal.pause()

    pid = child(work)
    assert os.read(readable, 4) == b"held"
    os.kill(pid, signal.SIGKILL)
    before = time.monotonic()
    add(table, "k")  # as soon as the kernel has cleaned up
    assert time.monotonic() - before < 2
    os.waitpid(pid, 0)
    assert read(table, "k") == [2.0]
    assert table.repairs == 1
    os.close(readable)
    os.close(writable)


def test_counts_stay_exact_when_processes_are_killed_at_random_moments(arena):
    """Each victim adds to the table and then notes it; a kill may fall between the two, so the sums differ by one at most."""
    table = SharedTable(arena, "t", values=1, rows=1024)
    noted = arena.region("noted", 8 * 64).cast("Q")
    choice = random.Random(7)
    for victim in range(40):

        def work(victim=victim):
            while True:
                add(table, "k")
                noted[victim] += 1

        pid = child(work)
        time.sleep(choice.uniform(0.002, 0.012))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    total = read(table, "k")[0]
    assert sum(noted) > 1000
    assert 0 <= total - sum(noted) <= 40
    assert len(table) == 1


def test_new_rows_stay_whole_when_processes_are_killed_while_they_make_them(arena):
    table = SharedTable(arena, "t", values=2, rows=64 * 16)
    readable, writable = os.pipe()
    for seed in range(30):

        def work(seed=seed):
            os.write(writable, b".")
            order = random.Random(seed)
            while True:
                number = order.randrange(5000)
                at = table.acquire(f"key {number}", time.monotonic(), 60)
                assert table.values[at] in (0.0, number), "a row of another key"
                table.values[at] = number
                table.release()

        pid = child(work)
        assert select.select([readable], [], [], 5)[0] and os.read(readable, 1)
        time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL  # it did not end by itself
    for number in range(5000):
        at = table.acquire(f"key {number}", time.monotonic(), 60)
        assert table.values[at] in (0.0, number)
        table.release()
    assert table.evictions > 0
    assert len(table) <= 64 * 16
    os.close(readable)
    os.close(writable)


def test_a_row_left_locked_by_an_error_is_unlocked_by_the_next_use(arena):
    table = SharedTable(arena, "t", values=1, rows=1024)
    table.acquire("k", time.monotonic(), 60)  # whoever did this raised before the release
    add(table, "other")
    assert ended_well([child(lambda: add(table, "k"))])
    assert read(table, "k") == [1.0]


def test_a_single_worker_takes_no_mutex(arena):
    table = SharedTable(arena, "t", values=1, rows=1024)
    arena.sharers[0] = 1
    table.acquire("k", time.monotonic(), 60)
    other = SharedTable(Arena(fd=arena.fd), "t", values=1, rows=1024)
    arena.sharers[0] = 2
    add(other, "k")  # would wait for ever
    table.release()
    assert read(table, "k") == [1.0]


def test_very_long_keys_are_not_remembered(arena):
    table = SharedTable(arena, "t", values=1, rows=1024)
    add(table, "k" * 10000)
    assert read(table, "k" * 10000) == [1.0]
    assert not table._places
