import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import START_MS, FakeClock

from openpns import ids
from openpns.ids import SNOWFLAKE_EPOCH_MS, Snowflake


def parts(request_id: str) -> tuple[int, int, int]:
    """Split an id into ms since 1970, worker id, sequence."""
    number = int(request_id)
    return (number >> 22) + SNOWFLAKE_EPOCH_MS, number >> 12 & 1023, number & 4095


def test_request_id_contains_time_worker_id_and_sequence() -> None:
    source = Snowflake(FakeClock(), worker_id=1023)
    assert parts(source.request_id()) == (START_MS, 1023, 0)
    assert parts(source.request_id()) == (START_MS, 1023, 1)


def test_request_id_reproduces_vendor_example() -> None:
    ms, worker_id, sequence = parts("1602262837283131392")
    source = Snowflake(FakeClock(ms), worker_id)
    assert sequence == 0
    assert source.request_id() == "1602262837283131392"


@settings(deadline=None)
@given(st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=200))
def test_request_id_increases_if_clock_jumps(steps: list[int]) -> None:
    clock = FakeClock()
    source = Snowflake(clock, worker_id=7)
    generated = []
    for step in steps:
        clock.now_ms += step
        generated.append(int(source.request_id()))
    assert generated == sorted(set(generated))


def test_request_id_runs_ahead_of_clock_after_4096_in_one_ms() -> None:
    source = Snowflake(FakeClock(), worker_id=0)
    generated = [source.request_id() for _ in range(10_000)]
    assert len(set(generated)) == 10_000
    assert parts(generated[4095]) == (START_MS, 0, 4095)
    assert parts(generated[4096]) == (START_MS + 1, 0, 0)


def test_request_id_differs_between_worker_ids() -> None:
    clock = FakeClock()
    one, other = Snowflake(clock, worker_id=1), Snowflake(clock, worker_id=2)
    generated = [source.request_id() for _ in range(5000) for source in (one, other)]
    assert len(set(generated)) == 10_000


def test_request_id_has_later_time_than_previous_holder() -> None:
    source = Snowflake(FakeClock(), worker_id=3, after_ms=START_MS + 500)
    assert parts(source.request_id()) == (START_MS + 501, 3, 0)


@pytest.mark.parametrize("after_ms", [START_MS - 5, START_MS, START_MS + 5])
def test_reassign_continues_after_both_holders(after_ms: int) -> None:
    source = Snowflake(FakeClock(), worker_id=3)
    before = source.request_id()
    source.reassign(4, after_ms, START_MS + 1000)
    ms, worker_id, _ = parts(source.request_id())
    assert worker_id == 4
    assert ms > after_ms
    assert ms >= parts(before)[0]


def test_request_id_ignores_clock_after_end_of_lease() -> None:
    clock = FakeClock()
    source = Snowflake(clock, worker_id=3, until_ms=START_MS + 500)
    first = int(source.request_id())
    clock.now_ms += 3_600_000
    generated = [source.request_id() for _ in range(10_000)]
    assert first < int(generated[0])
    assert len(set(generated)) == 10_000
    assert parts(generated[-1])[0] <= START_MS + 500
    source.until_ms = clock.now_ms + 500
    assert parts(source.request_id())[0] == clock.now_ms


def test_group_id_is_32_hex_characters_and_unique() -> None:
    source = Snowflake(FakeClock(), worker_id=0)
    generated = {source.group_id() for _ in range(1000)}
    assert len(generated) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{32}", group_id) for group_id in generated)


def test_new_access_key_has_unambiguous_characters() -> None:
    generated = {ids.new_access_key() for _ in range(1000)}
    assert len(generated) == 1000
    assert all(re.fullmatch(r"[a-km-np-z2-9]{20}", key) for key in generated)


def test_new_access_secret_is_unique_and_url_safe() -> None:
    generated = {ids.new_access_secret() for _ in range(1000)}
    assert len(generated) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in generated)
