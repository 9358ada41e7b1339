import os

from gateway.shared.arena import Arena
from gateway.shared.board import Board


def test_a_worker_writes_its_cell_and_everybody_reads_it():
    arena = Arena(1 << 20)
    board = Board(arena)
    cell = board.occupy(2, index=1)
    assert (cell.pid, cell.index, cell.ready) == (-1, 1, False)
    pid = os.fork()
    if pid == 0:
        cell.pid, cell.ready, cell.revision, cell.heartbeat = os.getpid(), True, 12345, 1.5
        os._exit(0)
    os.waitpid(pid, 0)
    seen = Board(Arena(fd=arena.fd)).cells[2]
    assert (seen.pid, seen.index, seen.ready, seen.revision, seen.heartbeat) == (pid, 1, True, 12345, 1.5)
    arena.close()


def test_counts_the_workers_that_share_the_arena():
    arena = Arena(1 << 20)
    board = Board(arena)
    assert arena.sharers[0] == 0
    board.occupy(0, 0)
    assert arena.sharers[0] == 1
    board.occupy(1, 1)
    assert arena.sharers[0] == 2
    board.vacate(0)
    assert arena.sharers[0] == 1
    assert board.occupied() == [1]
    arena.close()


def test_a_successor_finds_a_clean_cell():
    arena = Arena(1 << 20)
    board = Board(arena)
    board.occupy(0, 0).ready = True
    board.vacate(0)
    assert not board.occupy(0, 3).ready
    assert board.cells[0].index == 3
    arena.close()


def test_the_node_has_words_of_its_own():
    arena = Arena(1 << 20)
    board = Board(arena)
    board.draining = True
    board.restarts += 2
    other = Board(Arena(fd=arena.fd))
    assert (other.draining, other.restarts, other.cells[0].pid) == (True, 2, 0)
    arena.close()
