import pytest
from gateway_limits.callers import caller_by, network

from gateway.api import Consumer
from gateway.testing import make_exchange

ALICE = Consumer("alice")


@pytest.mark.parametrize(
    ("by", "exchange", "who"),
    [
        ("consumer", make_exchange(consumer=ALICE), "consumer alice"),
        ("consumer", make_exchange(), "client 192.0.2.1"),
        ("credential", make_exchange(consumer=ALICE), "credential alice "),
        ("credential", make_exchange(), "client 192.0.2.1"),
        ("ip", make_exchange(consumer=ALICE), "client 192.0.2.1"),
        ("route", make_exchange(), "route test"),
        ("all", make_exchange(), "all"),
        ("header:X-Tenant", make_exchange(headers={"x-tenant": "blue"}), "header blue"),
        ("header:X-Tenant", make_exchange(), "client 192.0.2.1"),
    ],
)
def test_counts_together(by, exchange, who):
    assert caller_by(by)(exchange) == who


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:1", True),
        ("2001:db8::1", "2001:0db8:0:0:1::1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix:", "unix:", True),
    ],
)
def test_an_ipv6_client_is_its_64_network(one, other, same):
    assert (network(one) == network(other)) is same
