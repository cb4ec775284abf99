"""The bucket is compared with one that counts tokens, in whole numbers: nothing waits here."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import envelope_of, on_sqlite_only
from tests.server.conftest import Server

from openpns.domain import keys
from openpns.domain.calls import Caller
from openpns.domain.keys import NewSecret
from openpns.errors import RateLimited
from openpns.server.api import Reply
from openpns.server.rate_limits import RateLimits

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


def retry_after(reply: Reply) -> str | None:
    return dict(reply.headers).get("retry-after")


async def test_a_call_over_the_rate_is_19003_and_does_nothing(server: Server) -> None:
    clock = Clock()
    server.make_api(rates=RateLimits(2, 0, 1, clock))
    body = b'{"phones":"85211111114"}'
    codes = [await server.code("createGroup", other) for other in (body, body + b" ")]
    refused = await server.call("createGroup", body)
    assert (codes, refused.status, retry_after(refused)) == ([0, 0], 200, "1")
    envelope = envelope_of(refused)
    assert envelope["code"] == 19003
    assert envelope["msg"] == (
        "Too many requests: this accessKey may make 2 calls a second; nothing was done; send the "
        "call again in 1 s"
    )
    clock.now_ns += SECOND_NS // 2
    page = envelope_of(await server.call())
    assert page["data"]["total"] == 2
    (line,) = server.log.lines
    assert (line["code"], line["level"], line["access_key"]) == (
        19003,
        "warning",
        server.key.accessKey,
    )


async def test_a_rate_of_the_keys_own_holds_from_the_next_call_on(server: Server) -> None:
    store, access_key = server.services.store, server.key.accessKey
    server.make_api(rates=RateLimits(0, 0, 1, Clock()))
    assert [await server.code() for _ in range(3)] == [0, 0, 0]
    await keys.set_rate(store, access_key, 1, 2)
    assert [await server.code() for _ in range(3)] == [0, 0, 19003]
    await keys.set_rate(store, access_key, 0, None)
    assert [await server.code() for _ in range(3)] == [0, 0, 0]


@on_sqlite_only
async def test_a_page_that_was_kept_costs_a_token_too(server: Server) -> None:
    server.make_api(rates=RateLimits(3, 0, 1, Clock()), cache_bytes_max=1 << 20)
    assert [await server.code() for _ in range(5)] == [0, 0, 0, 19003, 19003]


@on_sqlite_only
async def test_nobody_without_the_secret_can_use_up_a_keys_rate(server: Server) -> None:
    server.make_api(rates=RateLimits(1, 0, 1, Clock()))
    wrong = NewSecret(server.key.accessKey, "another-secret", "cus_1")
    assert [await server.code(key=wrong) for _ in range(3)] == [1003] * 3
    assert await server.code(ts=server.clock() - 60_001) == 1004
    assert await server.code() == 0
    assert await server.code(key=wrong) == 1003
    assert await server.code() == 19003


@on_sqlite_only
async def test_the_rate_stands_after_the_key_and_before_the_action(server: Server) -> None:
    server.make_api(rates=RateLimits(1, 0, 1, Clock()))
    assert await server.code("noSuchAction") == 1002
    assert await server.code("noSuchAction") == 19003
    assert await server.code(body=b"no JSON") == 19003
    assert await server.code(biz_type="4") == 1002
    await keys.disable(server.services.store, server.key.accessKey, server.clock())
    assert await server.code() == 1005


@on_sqlite_only
async def test_a_jump_of_the_wall_clock_changes_no_bucket(server: Server) -> None:
    server.make_api(rates=RateLimits(1, 0, 1, Clock()))
    assert await server.code() == 0
    for jump_ms in (86_400_000, -2 * 86_400_000):
        server.clock.now_ms += jump_ms
        assert await server.code() == 19003
