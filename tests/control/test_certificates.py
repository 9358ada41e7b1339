from datetime import UTC, datetime, timedelta

import pytest
import trustme

from gateway.control.certificates import dns_names, validity_end
from tests.control.support import compiled, good, problems, warnings

AUTHORITY = trustme.CA()


def pair(*names, **options):
    issued = AUTHORITY.issue_cert(*names, **options)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode()
    return chain, issued.private_key_pem.bytes().decode()


CHAIN, KEY = pair("api.example.com", "*.shop.example")


def certificate(**fields):
    return good(certificates=[{"name": "main", "certificate": CHAIN, "key": KEY, **fields}])


def test_accepts_a_pair_for_its_hosts():
    assert not warnings(certificate(hosts=["api.example.com", "*.shop.example", "a.shop.example"]))


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"certificate": "nonsense"}, "certificate", "is not a certificate in PEM form"),
        ({"certificate": CHAIN[:200] + "\n-----END CERTIFICATE-----"}, "certificate", "is not a certificate in PEM form"),
        ({"key": "nonsense"}, "key", "is not a private key in PEM form"),
        ({"key": pair("other")[1]}, "key", "does not belong to the certificate"),
        ({"key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}, "key", "cannot be loaded with the certificate"),
        ({"key": "$file:/no/such/key"}, "key", "file '/no/such/key' cannot be read"),
        ({"hosts": ["https://x"]}, "hosts[0]", "a host is a name without scheme"),
    ],
)
def test_refuses(fields, path, message):
    found = problems(certificate(**fields))
    assert list(found) == [f"certificates[0].{path}"] and message in found[f"certificates[0].{path}"]
    assert KEY[100:150] not in str(found)


def test_refuses_a_key_with_a_password():
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

    locked = (
        load_pem_private_key(KEY.encode(), None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
    )
    assert "is encrypted" in problems(certificate(key=locked))["certificates[0].key"]


@pytest.mark.parametrize(
    ("days", "words"),
    [(-3, "expired on"), (5, "in 4 days"), (30, None)],
)
def test_warns_of_certificates_that_end(days, words):
    chain, key = pair("a.example", not_before=datetime.now(UTC) - timedelta(90), not_after=datetime.now(UTC) + timedelta(days))
    found = warnings(certificate(certificate=chain, key=key)).get("certificates[0].certificate")
    assert (words in found) if words else found is None


def test_warns_of_hosts_that_the_certificate_is_not_for():
    found = warnings(certificate(hosts=["api.example.com", "a.b.shop.example", "*.example.com"]))
    assert list(found) == ["certificates[0].hosts[1]", "certificates[0].hosts[2]"]
    assert "only for api.example.com, *.shop.example" in found["certificates[0].hosts[1]"]


def test_reads_dates_and_names_as_cryptography_does():
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    for chain, names in ((CHAIN, ["api.example.com", "*.shop.example"]), (pair(*[f"host{n}.example" for n in range(40)])[0], 40)):
        parsed = x509.load_pem_x509_certificate(chain.encode())
        der = parsed.public_bytes(Encoding.DER)
        assert validity_end(der) == parsed.not_valid_after_utc
        assert dns_names(der) == names or len(dns_names(der)) == names
    authority = x509.load_pem_x509_certificate(AUTHORITY.cert_pem.bytes()).public_bytes(Encoding.DER)
    assert dns_names(authority) == []


def test_the_pair_of_a_pool_is_checked_too():
    tls = {"certificate": CHAIN, "key": pair("other")[1], "ca": "$file:/no/such/ca"}
    found = problems(good(pools=[{"name": "users", "members": [{"address": "a:1"}], "tls": tls}]))
    assert found == {
        "pools[0].tls.ca": "file '/no/such/ca' cannot be read: No such file or directory",
        "pools[0].tls.key": "does not belong to the certificate",
    }
    nonsense = good(pools=[{"name": "users", "members": [{"address": "a:1"}], "tls": {"ca": "nonsense"}}])
    assert problems(nonsense) == {"pools[0].tls.ca": "is not a list of certificates in PEM form (-----BEGIN CERTIFICATE-----)"}
    right = good(pools=[{"name": "users", "members": [{"address": "a:1"}], "tls": {"ca": AUTHORITY.cert_pem.bytes().decode()}}])
    assert not warnings(right)
    half = good(pools=[{"name": "users", "members": [{"address": "a:1"}], "tls": {"certificate": CHAIN}}])
    assert problems(half) == {"pools[0].tls.key": "is required: certificate and key come together"}


def test_a_renewed_file_makes_another_certificate(tmp_path):
    (tmp_path / "cert.pem").write_text(CHAIN)
    (tmp_path / "key.pem").write_text(KEY)
    data = certificate(certificate="$file:cert.pem", key="$file:key.pem")
    first = compiled(data, base=tmp_path)
    chain, key = pair("api.example.com")
    (tmp_path / "cert.pem").write_text(chain)
    (tmp_path / "key.pem").write_text(key)
    second = compiled(data, first, base=tmp_path)
    assert first.snapshot.certificates["main"] != second.snapshot.certificates["main"]
    assert second.snapshot.certificates["main"].certificate == f"$file:{tmp_path}/cert.pem"
