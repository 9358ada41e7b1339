import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from gateway.agent import frames, local

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_messages_arrive_as_they_were_sent(pair: Pair):
    one, other = pair
    one.sendall(frames.encode({"type": "a", "n": 1}) + frames.encode({"type": "b", "raw": orjson.Fragment(b'{"x":[]}')}))
    assert frames.receive(other) == {"type": "a", "n": 1}
    assert frames.receive(other) == {"type": "b", "raw": {"x": []}}


def test_a_large_message_arrives_whole(pair: Pair):
    one, other = pair
    message = {"type": "big", "content": "x" * 5_000_000}
    sender = threading.Thread(target=one.sendall, args=(frames.encode(message),))
    sender.start()
    assert frames.receive(other) == message
    sender.join()


def test_the_end_of_the_stream_between_messages_is_no_error(pair: Pair):
    one, other = pair
    one.close()
    assert frames.receive(other) is None


@pytest.mark.parametrize("octets", [b"\0\0", b"\0\0\0\x05{}", b"\xff\xff\xff\xff", b"\0\0\0\x02[]", b"\0\0\0\x02{}", b"\0\0\0\x01{"])
def test_anything_else_is_a_frame_error(pair: Pair, octets: bytes):
    one, other = pair
    one.sendall(octets)
    one.close()
    with pytest.raises(frames.FrameError):
        frames.receive(other)


def test_sockets_may_be_at_paths_longer_than_the_kernel_takes(tmp_path: Path):
    directory = tmp_path / ("d" * 120) / ("e" * 120)
    directory.mkdir(parents=True)
    with local.listen(directory / "s") as server, local.connect(directory / "s") as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"hello")
            assert accepted.recv(5) == b"hello"
    assert (directory / "s").stat().st_mode & 0o077 == 0


def test_a_successor_takes_the_path_over(tmp_path: Path):
    with local.listen(tmp_path / "s"), local.listen(tmp_path / "s") as second, local.connect(tmp_path / "s"):
        second.settimeout(5)
        second.accept()[0].close()
