"""Certificates and keys: do they load, do they belong together, how long and for which names do they hold."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from gateway.control.problems import Findings
from gateway.control.references import References

#: Warn this long before a certificate ends; what renews certificates by itself does so a month before.
EXPIRES_SOON_DAYS = 14
_SAN = bytes.fromhex("0603551d11")  # OBJECT IDENTIFIER 2.5.29.17, subjectAltName
_SEQUENCE, _OCTETS, _BOOLEAN, _UTC_TIME, _DNS_NAME = 0x30, 0x04, 0x01, 0x17, 0x82


def check_pair(raw: Mapping[str, Any], findings: Findings, references: References) -> None:
    """Check ``certificate`` and ``key`` of some settings; with ``hosts``, that the certificate holds for them."""
    texts = {}
    for name in ("certificate", "key"):
        value = raw.get(name)
        if value is None:
            findings.error((name,), "is required: certificate and key come together")
        elif isinstance(value, str) and (text := references.value(value, findings, (name,))) is not None:
            texts[name] = text
    if len(texts) < 2:
        return
    try:
        der = _first_certificate(texts["certificate"])
        until, names = validity_end(der), dns_names(der)
    except (ValueError, IndexError):
        findings.error(("certificate",), "is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)")
        return
    if "PRIVATE KEY-----" not in texts["key"]:
        findings.error(("key",), "is not a private key in PEM form (-----BEGIN PRIVATE KEY-----)")
        return
    if wrong := _load(texts["certificate"], texts["key"]):
        findings.error(("key",), wrong)
        return
    days = (until - datetime.now(UTC)).days
    if days < 0:
        findings.warn(("certificate",), f"expired on {until:%Y-%m-%d}: clients will refuse it")
    elif days < EXPIRES_SOON_DAYS:
        findings.warn(("certificate",), f"expires on {until:%Y-%m-%d}, in {days} days")
    hosts = raw.get("hosts")
    for index, host in enumerate(hosts if isinstance(hosts, list | tuple) else ()):
        if isinstance(host, str) and not _covered(host.lower(), names):
            findings.warn(("hosts", index), f"the certificate does not hold for {host}, only for {', '.join(names) or 'no name'}")


def check_authorities(value: str, findings: Findings, references: References) -> None:
    """Check the certificates of trusted authorities (``ca``)."""
    text = references.value(value, findings, ("ca",))
    if text is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        findings.error(("ca",), "is not a list of certificates in PEM form (-----BEGIN CERTIFICATE-----)")


def validity_end(der: bytes) -> datetime:
    """Return when a certificate ends (RFC 5280, section 4.1.2.5). Raises ValueError or IndexError when it is none."""
    content = _children(_children(der)[0][1])[0][1]
    fields = _children(content)
    validity = [value for tag, value in fields if tag == _SEQUENCE][2]  # algorithm, issuer, validity
    tag, text = _children(validity)[1]
    return datetime.strptime(text.decode("ascii"), "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def dns_names(der: bytes) -> list[str]:
    """Return the host names that a certificate holds for (RFC 5280, section 4.2.1.6)."""
    at = der.find(_SAN)
    if at < 0:
        return []
    rest = der[at + len(_SAN) :]
    if rest[0] == _BOOLEAN:
        rest = rest[3:]
    tag, value = next(_elements(rest))
    if tag != _OCTETS:
        raise ValueError("subjectAltName without content")
    return [name.decode("ascii").lower() for tag, name in _children(_children(value)[0][1]) if tag == _DNS_NAME]


def _first_certificate(pem: str) -> bytes:
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end)] + end)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each DER element in a row."""
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            more = size & 0x7F
            size, at = int.from_bytes(der[at : at + more], "big"), at + more
        if at + size > len(der):
            raise ValueError("cut off")
        yield tag, der[at : at + size]
        at += size


def _children(der: bytes) -> list[tuple[int, bytes]]:
    return list(_elements(der))


def _covered(host: str, names: list[str]) -> bool:
    return host in names or f"*.{host.partition('.')[2]}" in names


def _load(certificate: str, key: str) -> str:
    """Let OpenSSL load the pair; return what it has against it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with _as_path(certificate) as chain, _as_path(key) as private:
            context.load_cert_chain(chain, private, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "does not belong to the certificate"
        return f"cannot be loaded with the certificate ({error.reason or 'not in PEM form'})"
    except ValueError as error:
        return str(error)
    return ""


def _no_password() -> bytes:
    raise ValueError("is encrypted; keep it readable for the gateway alone instead")


@contextmanager
def _as_path(text: str) -> Iterator[str]:
    """Give OpenSSL a path to read from without a key ever touching a disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
