import os
import socket
from pathlib import Path

import pytest

from gateway.model.listener import Listener
from gateway.server.binding import BindError, Bound, adopt, bind, passed_by_systemd, rebind
from tests.server.running import free_ports


def listener(address: str = "", name: str = "web", protocol: str = "http") -> Listener:
    return Listener(name=name, address=address or f"127.0.0.1:{free_ports(1)[0]}", protocol=protocol)


def answers(bound: Bound) -> bool:
    name = bound.sockets[0].getsockname()
    with socket.socket(bound.sockets[0].family) as client:
        try:
            client.connect(name)
        except OSError:
            return False
    return True


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "[::1]:{port}", "localhost:{port}"])
def test_listens_at_addresses_of_each_family(address: str):
    bound = bind(listener(address.format(port=free_ports(1)[0])))
    try:
        assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in bound.sockets)
        assert not any(sock.getblocking() for sock in bound.sockets)
        assert answers(bound)
    finally:
        bound.close()


def test_ipv4_and_ipv6_wildcards_share_a_port():
    port = free_ports(1)[0]
    both = [bind(listener(f"0.0.0.0:{port}", "four")), bind(listener(f"[::]:{port}", "six"))]
    for bound in both:
        bound.close()


def test_a_udp_listener_is_bound_and_does_not_listen():
    bound = bind(listener(protocol="udp"))
    assert bound.sockets[0].type == socket.SOCK_DGRAM
    bound.close()


def test_an_address_in_use_names_listener_and_address():
    first = bind(listener())
    address = first.listener.address
    with pytest.raises(BindError, match=f"listener second: cannot bind {address}: Address already in use"):
        bind(listener(address, "second"))
    first.close()


def test_replaces_a_stale_unix_socket_and_removes_its_own(tmp_path: Path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    bound = bind(listener(f"unix:{path}"))
    assert answers(bound)
    bound.close()
    assert not path.exists()


def test_leaves_alone_a_unix_socket_in_use_and_a_file_that_is_none(tmp_path: Path):
    bound = bind(listener(f"unix:{tmp_path / 's'}"))
    with pytest.raises(BindError, match="another process listens there"):
        bind(listener(f"unix:{tmp_path / 's'}"))
    assert answers(bound)
    bound.close()
    (tmp_path / "f").write_text("precious")
    with pytest.raises(BindError, match="not a socket"):
        bind(listener(f"unix:{tmp_path / 'f'}"))
    assert (tmp_path / "f").read_text() == "precious"


def test_does_not_remove_the_socket_file_of_a_successor(tmp_path: Path):
    bound = bind(listener(f"unix:{tmp_path / 's'}"))
    (tmp_path / "s").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        bound.close()
        assert (tmp_path / "s").exists()


def test_a_change_of_listeners_keeps_what_stays():
    kept, gone, fresh = listener(name="kept"), listener(name="gone"), listener(name="fresh")
    before, _ = rebind({}, [kept, gone])
    renamed = kept.model_copy(update={"name": "renamed"})
    after, surplus = rebind(before, [renamed, fresh])
    assert list(after) == ["renamed", "fresh"]
    assert after["renamed"].sockets is before["kept"].sockets
    assert [bound.listener.name for bound in surplus] == ["gone"]
    assert answers(surplus[0]), "left open until whoever asked closes it"
    for bound in (*after.values(), *surplus):
        bound.close()


def test_a_change_that_fails_changes_nothing():
    before, _ = rebind({}, [listener()])
    taken = bind(listener(name="taken"))
    fresh = listener(name="fresh")
    with pytest.raises(BindError):
        rebind(before, [fresh, listener(taken.listener.address, "clash")])
    assert answers(before["web"])
    again = bind(fresh)  # what was bound on the way was let go
    for bound in (before["web"], taken, again):
        bound.close()


def test_sockets_from_systemd_are_matched_by_name_or_address_and_never_removed(tmp_path: Path):
    named = socket.create_server(("127.0.0.1", 0))
    at = socket.create_server(("127.0.0.1", 0))
    path = socket.socket(socket.AF_UNIX)
    path.bind(str(tmp_path / "s"))
    stray = socket.create_server(("127.0.0.1", 0))
    by_address = [listener(f"127.0.0.1:{at.getsockname()[1]}", "at"), listener(f"unix:{tmp_path / 's'}", "path")]
    listeners = [listener(name="named"), *by_address, listener(name="none")]
    descriptors = {sock.detach(): name for sock, name in ((named, "named"), (at, ""), (path, "unknown"), (stray, "stray"))}
    found, unwanted = adopt(listeners, descriptors)
    assert list(found) == ["named", "at", "path"]
    assert unwanted == [fd for fd, name in descriptors.items() if name == "stray"]
    assert answers(found["path"])
    for bound in found.values():
        bound.close()
    assert (tmp_path / "s").exists()
    os.close(unwanted[0])


def test_descriptors_meant_for_another_process_are_not_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    assert passed_by_systemd() == {}
    assert "LISTEN_FDS" not in os.environ
