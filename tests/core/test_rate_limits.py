"""The bucket is compared with one that counts tokens in integers; no test waits."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from openpns.core.principal import Principal
from openpns.core.rate_limits import RateLimits
from openpns.errors import RateLimited

SECOND_NS = 10**9
PRINCIPAL = Principal("a-key", "cus_1")


class Clock:
    """A clock in ns that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 5 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns


def granted(rates: RateLimits, principal: Principal, tries: int) -> int:
    """Return how many of some requests at the same moment are granted."""
    count = 0
    for _ in range(tries):
        try:
            rates.charge(principal)
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
def test_charge_grants_what_a_token_bucket_grants(
    per_s: int, burst: int, workers: int, pauses_ms: list[int]
) -> None:
    clock = Clock()
    token_ns = workers * SECOND_NS // per_s  # whole ns, as the bucket computes
    rates = RateLimits(per_s, burst, workers, clock)
    room = max(Fraction((burst or per_s) * SECOND_NS // per_s, token_ns), Fraction(1))
    tokens = room
    for pause_ms in pauses_ms:
        clock.now_ns += pause_ms * 10**6
        tokens = min(tokens + Fraction(pause_ms * 10**6, token_ns), room)
        if tokens >= 1:
            rates.charge(PRINCIPAL)
            tokens -= 1
            continue
        with pytest.raises(RateLimited) as raised:
            rates.charge(PRINCIPAL)
        assert raised.value.retry_after_s == math.ceil((1 - tokens) * token_ns / SECOND_NS)


def test_charge_grants_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    rates = RateLimits(10, 3, 1, clock)
    assert granted(rates, PRINCIPAL, 5) == 3
    clock.now_ns += SECOND_NS // 10 - 1
    assert granted(rates, PRINCIPAL, 5) == 0
    clock.now_ns += 1
    assert granted(rates, PRINCIPAL, 5) == 1
    clock.now_ns += 3600 * SECOND_NS
    assert granted(rates, PRINCIPAL, 5) == 3


def test_charge_without_burst_grants_requests_of_a_second_at_once() -> None:
    assert granted(RateLimits(10, 0, 1, Clock()), PRINCIPAL, 20) == 10


def test_charge_grants_the_share_of_a_worker_and_at_least_one_request() -> None:
    clock = Clock()
    shares = RateLimits(10, 8, 4, clock)
    assert granted(shares, PRINCIPAL, 20) == 2
    clock.now_ns += 400_000_000
    assert granted(shares, PRINCIPAL, 20) == 1
    assert granted(RateLimits(10, 1, 4, clock), PRINCIPAL, 20) == 1


def test_charge_grants_a_request_after_exactly_the_announced_wait() -> None:
    clock = Clock()
    rates = RateLimits(1, 0, 3, clock)
    rates.charge(PRINCIPAL)
    clock.now_ns += 1
    with pytest.raises(RateLimited) as raised:
        rates.charge(PRINCIPAL)
    assert raised.value.retry_after_s == 3
    assert "1 requests a second, spread over 3 workers" in raised.value.msg
    clock.now_ns += 3 * SECOND_NS - 2
    assert granted(rates, PRINCIPAL, 1) == 0
    clock.now_ns += 1
    assert granted(rates, PRINCIPAL, 1) == 1


def test_charge_keeps_a_bucket_and_a_rate_for_each_key() -> None:
    rates = RateLimits(2, 0, 1, Clock())
    assert granted(rates, PRINCIPAL, 5) == 2
    assert granted(rates, Principal("another", "cus_1"), 5) == 2
    assert granted(rates, Principal("fast", "cus_1", rate_per_s=4), 5) == 4
    assert granted(rates, Principal("small", "cus_1", rate_per_s=4, rate_burst=1), 5) == 1
    assert granted(rates, Principal("free", "cus_1", rate_per_s=0), 5) == 5


def test_charge_applies_a_raised_rate_from_the_next_request() -> None:
    clock = Clock()
    rates = RateLimits(0, 0, 1, clock)
    slow = Principal("a-key", "cus_1", rate_per_s=1, rate_burst=1000)
    assert granted(rates, slow, 2000) == 1000
    raised = structs.replace(slow, rate_per_s=1000)
    assert (
        granted(rates, raised, 1) == 0
    )  # the bucket is empty, but not for as long as at the old rate
    clock.now_ns += SECOND_NS
    assert granted(rates, raised, 2000) == 1000


def test_charge_deletes_the_least_recently_used_bucket_above_the_bound() -> None:
    rates = RateLimits(1, 0, 1, Clock(), buckets_max=2)
    for name in ("one", "two", "one"):
        granted(rates, Principal(name, "cus_1"), 1)
    granted(
        rates, Principal("three", "cus_1"), 1
    )  # displaces "one", which was charged before "two"
    left = [granted(rates, Principal(name, "cus_1"), 1) for name in ("two", "three", "one")]
    assert left == [0, 0, 1]


def test_usage_returns_rate_and_used_requests_of_the_burst() -> None:
    rates = RateLimits(per_s=10, burst=5, clock_ns=lambda: 0)
    for _ in range(3):
        rates.charge(PRINCIPAL)
    assert rates.usage(PRINCIPAL) == (10, 5, 3)
    assert rates.usage(Principal("other-key", "cus_1")) == (10, 5, 0)
    assert rates.usage(Principal("free-key", "cus_1", rate_per_s=0)) == (None, None, 0)
    assert rates.usage(Principal("slow-key", "cus_1", rate_per_s=2)) == (2, 2, 0)


def test_charge_takes_several_units_but_no_more_than_a_full_bucket_holds() -> None:
    clock = Clock()
    rates = RateLimits(10, 0, 1, clock)
    rates.charge(PRINCIPAL, 7)
    with pytest.raises(RateLimited, match="again in 1 s"):
        rates.charge(PRINCIPAL, 4)
    rates.charge(PRINCIPAL, 3)
    clock.now_ns += SECOND_NS
    rates.charge(PRINCIPAL)
    rates.charge(PRINCIPAL, 99, charged=1)  # 9: the bucket is empty, and the request passes
    with pytest.raises(RateLimited):
        rates.charge(PRINCIPAL)


def test_charge_takes_from_the_key_and_from_its_customer_or_from_neither() -> None:
    rates = RateLimits(5, 0, 1, Clock(), customer_per_s=8)
    assert granted(rates, PRINCIPAL, 9) == 5
    assert granted(rates, Principal("another", "cus_1"), 9) == 3
    assert rates.usage(Principal("another", "cus_1")).used == 3
    assert rates.customer_usage(PRINCIPAL) == (8, 8, 8)
    assert granted(rates, Principal("a-third", "cus_2"), 9) == 5
    with pytest.raises(RateLimited, match="this customer may send 8 requests a second"):
        rates.charge(Principal("another", "cus_1"))
