"""The power of two random choices."""

from collections import Counter

from gateway_balancers.random_two import RandomTwo

from gateway.testing_balancers import candidates, check_balancer, exchanges, play


def make(members, seed=1):
    balancer = RandomTwo(RandomTwo.Config(), seed)
    balancer.changed(members)
    return balancer


def test_passes_what_every_balancer_must_pass():
    check_balancer(RandomTwo)


def test_takes_the_less_busy_of_two():
    members = candidates(1, 1)
    members[0].in_flight = 1
    balancer = make(members)
    picks = Counter(balancer.pick(exchange, members).address for exchange in exchanges(1000))
    assert picks["member-2:80"] > 950, "now and then the same one is drawn five times"


def test_a_heavier_member_may_have_more_running():
    members = candidates(1, 3)
    members[0].in_flight, members[1].in_flight = 1, 4
    assert [make(members).pick(exchange, members).address for exchange in exchanges(3)] == ["member-2:80"] * 3
    members[1].in_flight = 6
    picks = Counter(make(members, seed).pick(exchange, members).address for seed, exchange in enumerate(exchanges(200)))
    assert picks["member-1:80"] > 120


def test_a_busy_member_among_many_is_left_alone():
    members = candidates(*[1] * 50)
    members[7].in_flight = 100
    assert "member-8:80" not in play(make(members), members, 2000)


def test_spreads_load_better_than_a_plain_draw():
    members = candidates(*[1] * 100)
    balancer = make(members)
    for exchange in exchanges(1000):
        balancer.pick(exchange, members).in_flight += 1
    assert max(member.in_flight for member in members) <= 13, "a plain draw leaves about 20 on one of them"


def test_weights_far_apart_leave_nobody_out():
    members = candidates(65535, 1, 1)
    members[0].in_flight = 1_000_000
    balancer = make(members)
    shares = Counter(balancer.pick(exchange, members).address for exchange in exchanges(20000))
    assert set(shares) == {"member-1:80", "member-2:80", "member-3:80"}
