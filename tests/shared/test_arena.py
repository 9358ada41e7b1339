"""The memory of a node: the same regions for whoever maps it."""

import os
import subprocess
import sys

import pytest

from gateway.shared.arena import Arena, ArenaFull


@pytest.fixture
def arena():
    arena = Arena(1 << 22)
    yield arena
    arena.close()


def test_regions_are_zeroed_writable_and_found_by_name(arena):
    region = arena.region("one", 100)
    assert bytes(region) == bytes(100)
    region[0] = 7
    assert arena.region("one", 100)[0] == 7
    assert arena.region("two", 5)[0] == 0
    assert arena.names() == ["one", "two"]
    assert arena.find("three") is None


def test_names_can_be_listed_by_prefix(arena):
    for name in ("a/1", "b/1", "a/2"):
        arena.region(name, 8)
    assert arena.names("a/") == ["a/1", "a/2"]


def test_an_executed_process_finds_the_regions_by_the_descriptor(arena):
    arena.region("numbers", 16).cast("d")[1] = 2.5
    program = (
        "import sys; from gateway.shared.arena import Arena; a = Arena(fd=int(sys.argv[1])); "
        "n = a.region('numbers', 16).cast('d'); n[0] = n[1] * 2; a.region('its own', 1)[0] = 9"
    )
    subprocess.run([sys.executable, "-c", program, str(arena.fd)], pass_fds=[arena.fd], check=True, timeout=20)
    assert arena.region("numbers", 16).cast("d")[0] == 5.0
    assert arena.find("its own")[0] == 9  # type: ignore[index]


def test_processes_that_make_regions_at_once_agree_on_them(arena):
    pids = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            names = [f"region {n}" for n in range(40)]
            for name in names[number * 10 :] + names[: number * 10]:
                region = arena.region(name, 64)
                region[number] = 1
            os._exit(0)
        pids.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    assert len(arena.names()) == 40
    assert all(bytes(arena.region(name, 64)[:4]) == b"\1\1\1\1" for name in arena.names())


def test_a_new_region_is_prepared_before_anyone_sees_it_and_only_once(arena):
    seen = []

    def prepare(region: memoryview) -> None:
        assert arena.find("r") is None
        seen.append(len(region))
        region[0] = 1

    assert arena.region("r", 10, prepare)[0] == 1
    assert arena.region("r", 10, prepare)[0] == 1
    assert seen == [10]


def test_a_failed_preparation_leaves_no_region(arena):
    def prepare(region: memoryview) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        arena.region("r", 10, prepare)
    assert arena.names() == []


def test_refuses_another_size_under_the_same_name(arena):
    arena.region("r", 10)
    with pytest.raises(ValueError, match="10 octets, not 11"):
        arena.region("r", 11)


def test_says_so_when_it_is_full(arena):
    with pytest.raises(ArenaFull, match="big"):
        arena.region("big", 1 << 22)
    arena.region("small", 1)


@pytest.mark.parametrize("name", ["", "x" * 200])
def test_refuses_names_that_do_not_fit_the_directory(arena, name):
    with pytest.raises(ValueError, match="name"):
        arena.region(name, 1)


def test_refuses_a_descriptor_that_is_no_arena():
    fd = os.memfd_create("other")
    os.ftruncate(fd, 1 << 20)
    with pytest.raises(ValueError, match="not an arena"):
        Arena(fd=fd)
    os.close(fd)


def test_untouched_regions_cost_no_memory():
    arena = Arena(1 << 30)
    arena.region("large", 1 << 29)
    assert os.fstat(arena.fd).st_blocks * 512 < 1 << 20
    arena.close()


def test_a_workers_region_is_kept_for_its_successor(arena):
    arena.worker_region(3, "metrics", 64)[5] = 42
    assert Arena(fd=arena.fd).worker_region(3, "metrics", 64)[5] == 42
    assert arena.worker_region(4, "metrics", 64)[5] == 0
