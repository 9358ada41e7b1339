"""TLS towards members: whom the gateway believes, what it asks for, and what it shows of itself."""

import socket
import ssl
import threading

import pytest
import trustme

from tests.server.scripted import Peer


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


class Secure:
    """A backend that speaks TLS; remembers the name each client asked for and the certificate it showed."""

    def __init__(self, authority, name, *, demand=False):
        self.names, self.clients = [], []
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(context)
        context.sni_callback = lambda sock, asked, _: self.names.append(asked)
        if demand:
            context.verify_mode = ssl.CERT_REQUIRED
            authority.configure_trust(context)
        self._context = context
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with self._context.wrap_socket(sock, server_side=True) as wrapped:
                self.clients.append(wrapped.getpeercert())
                peer = Peer(wrapped)
                while True:
                    peer.head()
                    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        except (OSError, EOFError):
            sock.close()  # the gateway does not believe us, or has had enough

    def close(self):
        self._server.close()


@pytest.fixture
def secure(authority):
    started = []

    def start(name, **options):
        started.append(Secure(authority, name, **options))
        return started[-1]

    yield start
    for backend in started:
        backend.close()


@pytest.fixture
def trusted(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return f"$file:{path}"


def through(run_gateway, backend, **tls):
    pool = {"name": "secure", "members": [{"address": backend.address}], "tls": tls}
    return run_gateway(pools=[pool], routes=[{"name": "all", "pool": "secure"}])


def test_a_member_proves_its_name_and_is_asked_for_by_it(run_gateway, secure, trusted):
    backend = secure("backend.test")
    gateway = through(run_gateway, backend, ca=trusted, server_name="backend.test")
    assert [gateway.get("/").content for _ in range(3)] == [b"secret"] * 3
    assert backend.names == ["backend.test"]  # one connection, kept


def test_a_member_with_another_name_is_not_believed(run_gateway, secure, trusted):
    gateway = through(run_gateway, secure("other.test"), ca=trusted, server_name="backend.test")
    answered = gateway.get("/")
    assert (answered.status, answered.json()["code"]) == (502, "connect_failure")


def test_a_member_of_an_unknown_authority_is_not_believed(run_gateway, secure):
    gateway = through(run_gateway, secure("127.0.0.1"))
    assert gateway.get("/").status == 502


def test_verification_can_be_switched_off(run_gateway, secure):
    gateway = through(run_gateway, secure("anything.test"), verify=False)
    assert gateway.get("/").content == b"secret"


def test_the_gateway_shows_its_own_certificate_to_members_that_ask(run_gateway, secure, authority, trusted, tmp_path):
    mine = authority.issue_cert("gateway.test")
    chain, key = tmp_path / "mine.pem", tmp_path / "mine.key"
    chain.write_bytes(b"".join(part.bytes() for part in mine.cert_chain_pems))
    mine.private_key_pem.write_to_path(key)
    backend = secure("backend.test", demand=True)
    gateway = through(
        run_gateway, backend, ca=trusted, server_name="backend.test", certificate=f"$file:{chain}", key=f"$file:{key}"
    )  # fmt: skip
    assert gateway.get("/").content == b"secret"
    assert ("DNS", "gateway.test") in backend.clients[-1]["subjectAltName"]
