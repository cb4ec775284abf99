"""The bucket is compared with one that counts tokens, in whole numbers: nothing waits here."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpns.core.context import Caller
from openpns.core.rate_limits import RateLimits
from openpns.errors import RateLimited

SECOND_NS = 10**9
CALLER = Caller("a-key", "cus_1")


class Clock:
    """A clock of ns that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 5 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns


def granted(rates: RateLimits, caller: Caller, tries: int) -> int:
    """How many of some calls at the same moment are let through."""
    count = 0
    for _ in range(tries):
        try:
            rates.charge(caller)
        except RateLimited:
            continue
        count += 1
    return count


@given(
    per_s=st.integers(1, 50),
    burst=st.integers(0, 20),
    workers=st.integers(1, 8),
    pauses_ms=st.lists(st.integers(0, 400), max_size=60),
)
def test_it_grants_what_a_bucket_of_tokens_grants(
    per_s: int, burst: int, workers: int, pauses_ms: list[int]
) -> None:
    clock = Clock()
    token_ns = workers * SECOND_NS // per_s  # whole ns, as the bucket reckons
    rates = RateLimits(per_s, burst, workers, clock)
    room = max(Fraction((burst or per_s) * SECOND_NS // per_s, token_ns), Fraction(1))
    tokens = room
    for pause_ms in pauses_ms:
        clock.now_ns += pause_ms * 10**6
        tokens = min(tokens + Fraction(pause_ms * 10**6, token_ns), room)
        if tokens >= 1:
            rates.charge(CALLER)
            tokens -= 1
            continue
        with pytest.raises(RateLimited) as raised:
            rates.charge(CALLER)
        assert raised.value.retry_after_s == math.ceil((1 - tokens) * token_ns / SECOND_NS)


def test_a_burst_at_once_and_then_the_rate() -> None:
    clock = Clock()
    rates = RateLimits(10, 3, 1, clock)
    assert granted(rates, CALLER, 5) == 3
    clock.now_ns += SECOND_NS // 10 - 1
    assert granted(rates, CALLER, 5) == 0
    clock.now_ns += 1
    assert granted(rates, CALLER, 5) == 1
    clock.now_ns += 3600 * SECOND_NS
    assert granted(rates, CALLER, 5) == 3


def test_without_a_burst_the_calls_of_a_second_may_come_at_once() -> None:
    assert granted(RateLimits(10, 0, 1, Clock()), CALLER, 20) == 10


def test_a_worker_grants_its_share_and_at_least_one_call() -> None:
    clock = Clock()
    shares = RateLimits(10, 8, 4, clock)
    assert granted(shares, CALLER, 20) == 2
    clock.now_ns += 400_000_000
    assert granted(shares, CALLER, 20) == 1
    assert granted(RateLimits(10, 1, 4, clock), CALLER, 20) == 1


def test_who_waits_as_long_as_told_is_let_through_and_not_a_moment_earlier() -> None:
    clock = Clock()
    rates = RateLimits(1, 0, 3, clock)
    rates.charge(CALLER)
    clock.now_ns += 1
    with pytest.raises(RateLimited) as raised:
        rates.charge(CALLER)
    assert raised.value.retry_after_s == 3
    assert "1 calls a second, spread over 3 workers" in raised.value.msg
    clock.now_ns += 3 * SECOND_NS - 2
    assert granted(rates, CALLER, 1) == 0
    clock.now_ns += 1
    assert granted(rates, CALLER, 1) == 1


def test_keys_have_buckets_of_their_own_and_rates_of_their_own() -> None:
    rates = RateLimits(2, 0, 1, Clock())
    assert rates.is_for_all
    assert granted(rates, CALLER, 5) == 2
    assert granted(rates, Caller("another", "cus_1"), 5) == 2
    assert granted(rates, Caller("fast", "cus_1", rate_per_s=4), 5) == 4
    assert granted(rates, Caller("small", "cus_1", rate_per_s=4, rate_burst=1), 5) == 1
    assert granted(rates, Caller("free", "cus_1", rate_per_s=0), 5) == 5


def test_a_rate_that_is_raised_holds_from_the_next_call_on() -> None:
    clock = Clock()
    rates = RateLimits(0, 0, 1, clock)
    assert not rates.is_for_all
    slow = Caller("a-key", "cus_1", rate_per_s=1, rate_burst=1000)
    assert granted(rates, slow, 2000) == 1000
    raised = replace(slow, rate_per_s=1000)
    assert granted(rates, raised, 1) == 0  # the bucket is empty, but not for the old rate's time
    clock.now_ns += SECOND_NS
    assert granted(rates, raised, 2000) == 1000


def test_only_so_many_buckets_are_kept_and_the_longest_unused_is_forgotten() -> None:
    rates = RateLimits(1, 0, 1, Clock(), buckets_max=2)
    for name in ("one", "two", "one"):
        granted(rates, Caller(name, "cus_1"), 1)
    granted(rates, Caller("three", "cus_1"), 1)  # in the place of one, charged before two
    left = [granted(rates, Caller(name, "cus_1"), 1) for name in ("two", "three", "one")]
    assert left == [0, 0, 1]
