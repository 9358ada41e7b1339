"""Every case of the wire corpus, fed whole, octet by octet and at random cuts."""

import random

import pytest

from tests.wire.corpus import Refused, cases
from tests.wire.judge import judge_requests, judge_response

SEED = random.randrange(1 << 32)
REQUESTS = cases("requests")
RESPONSES = cases("responses")


def whole(octets: bytes, _: random.Random) -> list[bytes]:
    return [octets]


def by_octet(octets: bytes, _: random.Random) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


def at_random(octets: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(octets) + 1) for _ in range(chance.randrange(1, 8)))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]


FEEDS = [whole, by_octet, at_random, at_random, at_random]


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.name)
def test_a_request_gets_its_documented_verdict_however_it_is_cut(case):
    print("seed", SEED)
    chance = random.Random(SEED)
    for feed in FEEDS:
        assert judge_requests(feed(case.octets, chance)) == case.verdict, feed.__name__


@pytest.mark.parametrize("case", RESPONSES, ids=lambda case: case.name)
def test_a_response_gets_its_documented_verdict_however_it_is_cut(case):
    print("seed", SEED)
    chance = random.Random(SEED)
    for feed in FEEDS:
        assert judge_response(feed(case.octets, chance), case.method, case.closes) == case.verdict, feed.__name__


def test_the_corpus_is_large_enough_and_its_names_are_unique():
    assert len({case.name for case in REQUESTS + RESPONSES}) == len(REQUESTS + RESPONSES)
    assert sum(isinstance(case.verdict, Refused) for case in REQUESTS) >= 160
    assert sum(isinstance(case.verdict, Refused) for case in RESPONSES) >= 45
