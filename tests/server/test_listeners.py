"""Where clients connect: TLS with SNI, PROXY protocol, trusted proxies, Unix sockets, IPv6, connection limits."""

import os
import socket
import ssl
import struct
import time

import pytest
import trustme

from gateway.testing import RunningGateway, free_ports
from tests.server.scripted import Peer

REQUEST = b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def listen(echo, tmp_path):
    """Start a gateway with these listeners; gives it and the address of each."""
    running = []

    def start(*listeners, **pieces):
        ports = free_ports(len(listeners))
        listeners = [
            {"name": f"l{index}", "address": f"127.0.0.1:{port}", **listener}
            for index, (port, listener) in enumerate(zip(ports, listeners, strict=True))
        ]
        main = {"name": "web", "address": f"127.0.0.1:{free_ports(1)[0]}"}
        configuration = {
            "listeners": [main, *listeners],
            "pools": [{"name": "echo", "members": [{"address": echo.address}]}],
            "routes": [{"name": "all", "pool": "echo"}],
            **pieces,
        }
        running.append(RunningGateway(tmp_path / "gateway", configuration, env={}))
        return running[-1], [listener["address"] for listener in listeners]

    yield start
    for gateway in running:
        gateway.stop()


def write(folder, name, certificate):
    """Write a certificate and its key; return what refers to them."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    return {"certificate": f"$file:{chain}", "key": f"$file:{key}"}


def secure(address, authority, name, **versions):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for key, value in versions.items():
        setattr(context, key, value)
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, _, port = address.rpartition(":")
    sock = socket.create_connection((host, int(port)), 10)
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


def test_https_shows_each_name_its_certificate(listen, authority, echo, tmp_path):
    certificates = [
        {"name": "one", "hosts": ["one.test"], **write(tmp_path, "one", authority.issue_cert("one.test"))},
        {"name": "wild", "hosts": ["*.wild.test"], **write(tmp_path, "wild", authority.issue_cert("*.wild.test"))},
    ]
    _, [address] = listen({"protocol": "https"}, certificates=certificates)
    for name in ("one.test", "a.wild.test"):
        with secure(address, authority, name) as sock:
            assert sock.selected_alpn_protocol() == "http/1.1"
            peer = Peer(sock)
            peer.send(REQUEST % name.encode())
            assert peer.rest().startswith(b"HTTP/1.1 200 ")
        assert echo.last.headers.get("X-Forwarded-Proto") == "https"
    with pytest.raises(ssl.SSLCertVerificationError):
        secure(address, authority, "b.a.wild.test")


def test_large_content_passes_through_tls_both_ways(listen, authority, echo, tmp_path):
    certificates = [{"name": "one", **write(tmp_path, "one", authority.issue_cert("one.test"))}]
    _, [address] = listen({"protocol": "https"}, certificates=certificates)
    content = os.urandom(1 << 20)
    echo.answer = lambda request: type("A", (), {"status": 200, "headers": (), "content": request.content})
    with secure(address, authority, "one.test") as sock:
        peer = Peer(sock)
        peer.send(b"POST / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        peer.head()
        assert peer.rest() == content


def test_a_listener_for_tls_1_3_refuses_older_clients(listen, authority, tmp_path):
    certificates = [{"name": "one", **write(tmp_path, "one", authority.issue_cert("one.test"))}]
    _, [address] = listen({"protocol": "https", "min_tls": "1.3"}, certificates=certificates)
    secure(address, authority, "one.test").close()
    with pytest.raises(ssl.SSLError):
        secure(address, authority, "one.test", maximum_version=ssl.TLSVersion.TLSv1_2)


def test_a_renewed_certificate_is_shown_without_a_restart(listen, authority, tmp_path):
    files = write(tmp_path, "one", authority.issue_cert("one.test"))
    gateway, [address] = listen({"protocol": "https"}, certificates=[{"name": "one", **files}])
    with secure(address, authority, "one.test") as sock:
        before = sock.getpeercert()["serialNumber"]
        workers = [worker["pid"] for worker in gateway.manage("/status").json()["workers"]]
        write(tmp_path, "one", authority.issue_cert("one.test"))
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with secure(address, authority, "one.test") as fresh:
                if fresh.getpeercert()["serialNumber"] != before:
                    break
            time.sleep(0.1)
        else:
            pytest.fail("the old certificate is still shown")
        peer = Peer(sock)  # the connection made with the old one goes on
        peer.send(REQUEST % b"one.test")
        assert peer.rest().startswith(b"HTTP/1.1 200 ")
    assert [worker["pid"] for worker in gateway.manage("/status").json()["workers"]] == workers


def test_plain_octets_on_an_https_listener_disturb_nobody(listen, authority, tmp_path):
    certificates = [{"name": "one", **write(tmp_path, "one", authority.issue_cert("one.test"))}]
    gateway, [address] = listen({"protocol": "https"}, certificates=certificates)
    peer = Peer.connect(address)
    peer.send(REQUEST % b"a")
    assert b"HTTP/1.1 200" not in peer.rest()
    peer.close()
    secure(address, authority, "one.test").close()
    assert "Traceback" not in gateway.log


V2 = b"\r\n\r\n\x00\r\nQUIT\n"


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n",
        V2 + struct.pack("!BBH4s4sHH", 0x21, 0x11, 12, bytes([203, 0, 113, 9]), bytes([192, 0, 2, 1]), 56324, 443),
        V2 + struct.pack("!BBH4s4sHH3s", 0x21, 0x11, 15, bytes([203, 0, 113, 9]), bytes([192, 0, 2, 1]), 56324, 443, b"\x04\x00\x00"),
    ],
    ids=["version 1", "version 2", "version 2 with an extension"],
)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "in pieces"])
def test_the_proxy_protocol_names_the_client(listen, echo, header, cut):
    _, [address] = listen({"proxy_protocol": ["127.0.0.0/8"]})
    peer = Peer.connect(address)
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    octets = header + REQUEST % b"a"
    if cut:
        for at in range(0, len(octets), 7):
            peer.send(octets[at : at + 7])
            time.sleep(0.01)  # so that the pieces arrive apart
    else:
        peer.send(octets)
    assert peer.rest().startswith(b"HTTP/1.1 200 ")
    assert echo.last.headers.get("X-Forwarded-For") == "203.0.113.9"


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 nonsense\r\n", V2 + b"\xff\x11\x00\x00"])
def test_a_connection_without_a_right_proxy_header_is_closed(listen, echo, octets):
    _, [address] = listen({"proxy_protocol": ["127.0.0.0/8"]})
    peer = Peer.connect(address)
    peer.send(octets)
    assert peer.rest() == b"" and echo.requests == []


def test_a_peer_that_is_not_trusted_sends_no_proxy_header(listen, echo):
    _, [address] = listen({"proxy_protocol": ["192.0.2.0/24"]})
    peer = Peer.connect(address)
    peer.send(b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n" + REQUEST % b"a")
    assert peer.rest().startswith(b"HTTP/1.1 400 ") and echo.requests == []


def test_the_proxy_protocol_comes_before_tls(listen, authority, echo, tmp_path):
    certificates = [{"name": "one", **write(tmp_path, "one", authority.issue_cert("one.test"))}]
    _, [address] = listen({"protocol": "https", "proxy_protocol": ["127.0.0.0/8"]}, certificates=certificates)
    host, _, port = address.rpartition(":")
    sock = socket.create_connection((host, int(port)), 10)
    sock.sendall(b"PROXY TCP6 2001:db8::9 2001:db8::1 1 2\r\n")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with context.wrap_socket(sock, server_hostname="one.test") as wrapped:
        peer = Peer(wrapped)
        peer.send(REQUEST % b"one.test")
        assert peer.rest().startswith(b"HTTP/1.1 200 ")
    assert echo.last.headers.get("X-Forwarded-For") == "2001:db8::9"


@pytest.mark.parametrize(
    ("header", "chain"),
    [
        (b"X-Forwarded-For: 203.0.113.9", "203.0.113.9, 127.0.0.1"),
        (b"X-Forwarded-For: 203.0.113.9, 127.0.0.2", "203.0.113.9, 127.0.0.2, 127.0.0.1"),
        (b'Forwarded: for="[2001:db8::9]:4711";proto=https', "2001:db8::9, 127.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_who_the_client_is(listen, echo, header, chain):
    _, [address] = listen({"trusted_proxies": ["127.0.0.0/8"]})
    peer = Peer.connect(address)
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n%b\r\n\r\n" % header)
    assert peer.rest().startswith(b"HTTP/1.1 200 ")
    assert echo.last.headers.get("X-Forwarded-For") == chain
    assert echo.last.headers.get("X-Forwarded-Proto") == "https"


def test_listens_on_a_unix_socket_and_on_ipv6(listen, echo, tmp_path):
    path = tmp_path / "gateway.sock"
    [port] = free_ports(1)
    listen({"address": f"unix:{path}"}, {"address": f"[::1]:{port}"})
    for sock in (socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET6)):
        sock.connect(str(path) if sock.family == socket.AF_UNIX else ("::1", port))
        peer = Peer(sock)
        peer.send(REQUEST % b"a")
        assert peer.rest().startswith(b"HTTP/1.1 200 ")
        peer.close()
    assert [request.headers.get("X-Forwarded-For") for request in echo.requests] == ["unix", "::1"]


def test_a_client_that_is_slow_with_its_head_is_told_so_and_closed(listen, echo):
    _, [address] = listen({"http": {"head_s": 0.5}})
    peer = Peer.connect(address)
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    assert peer.rest().startswith(b"HTTP/1.1 408 ") and echo.requests == []


def test_a_client_that_is_slow_with_its_content_is_told_so_and_closed(listen):
    _, [address] = listen({"http": {"body_idle_s": 0.5}})
    peer = Peer.connect(address)
    peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    assert peer.rest().startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_and_one_that_has_had_enough_requests_too(listen):
    _, [address] = listen({"http": {"keep_alive_s": 0.5, "max_requests": 2}})
    peer = Peer.connect(address)
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Connection: close" not in peer.head()
    began = time.monotonic()
    peer.rest()
    assert 0.2 < time.monotonic() - began < 5
    peer = Peer.connect(address)
    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    assert peer.rest().count(b"HTTP/1.1 200 ") == 2


def test_connections_over_the_limit_wait_for_their_turn(listen):
    _, [address] = listen({"http": {"max_connections": 2}})
    held = [Peer.connect(address) for _ in range(3)]
    for peer in held:
        peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for peer in held[:2]:
        assert peer.head().startswith(b"HTTP/1.1 200 ")
    held[2].sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        held[2].more()
    held[0].close()
    held[2].sock.settimeout(10)
    assert held[2].head().startswith(b"HTTP/1.1 200 ")
