import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import START_MS, FakeClock

from openpns import ids
from openpns.ids import SNOWFLAKE_EPOCH_MS, Snowflake


def parts(request_id: str) -> tuple[int, int, int]:
    """Take an id apart: ms since 1970, node, sequence."""
    number = int(request_id)
    return (number >> 22) + SNOWFLAKE_EPOCH_MS, number >> 12 & 1023, number & 4095


def test_an_id_is_made_of_time_node_and_sequence() -> None:
    source = Snowflake(FakeClock(), node=1023)
    assert parts(source.request_id()) == (START_MS, 1023, 0)
    assert parts(source.request_id()) == (START_MS, 1023, 1)


def test_an_id_of_the_documentation_reads_as_a_time_of_its_day() -> None:
    ms, node, sequence = parts("1602262837283131392")
    source = Snowflake(FakeClock(ms), node)
    assert sequence == 0
    assert source.request_id() == "1602262837283131392"


@settings(deadline=None)
@given(st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=200))
def test_ids_increase_however_the_clock_jumps(steps: list[int]) -> None:
    clock = FakeClock()
    source = Snowflake(clock, node=7)
    given_out = []
    for step in steps:
        clock.now_ms += step
        given_out.append(int(source.request_id()))
    assert given_out == sorted(set(given_out))


def test_more_ids_than_a_millisecond_holds_run_on_ahead_of_the_clock() -> None:
    source = Snowflake(FakeClock(), node=0)
    given_out = [source.request_id() for _ in range(10_000)]
    assert len(set(given_out)) == 10_000
    assert parts(given_out[4095]) == (START_MS, 0, 4095)
    assert parts(given_out[4096]) == (START_MS + 1, 0, 0)


def test_two_nodes_never_give_the_same_id() -> None:
    clock = FakeClock()
    one, other = Snowflake(clock, node=1), Snowflake(clock, node=2)
    given_out = [source.request_id() for _ in range(5000) for source in (one, other)]
    assert len(set(given_out)) == 10_000


def test_no_id_is_given_a_time_that_the_last_holder_may_have_used() -> None:
    source = Snowflake(FakeClock(), node=3, after_ms=START_MS + 500)
    assert parts(source.request_id()) == (START_MS + 501, 3, 0)


@pytest.mark.parametrize("after_ms", [START_MS - 5, START_MS, START_MS + 5])
def test_under_another_worker_number_ids_go_on_after_both_holders(after_ms: int) -> None:
    source = Snowflake(FakeClock(), node=3)
    before = source.request_id()
    source.move(4, after_ms, START_MS + 1000)
    ms, node, _ = parts(source.request_id())
    assert node == 4
    assert ms > after_ms
    assert ms >= parts(before)[0]


def test_a_clock_past_the_end_of_the_lease_is_not_followed_and_nobody_waits() -> None:
    clock = FakeClock()
    source = Snowflake(clock, node=3, until_ms=START_MS + 500)
    first = int(source.request_id())
    clock.now_ms += 3_600_000
    given_out = [source.request_id() for _ in range(10_000)]
    assert first < int(given_out[0])
    assert len(set(given_out)) == 10_000
    assert parts(given_out[-1])[0] <= START_MS + 500
    source.until_ms = clock.now_ms + 500
    assert parts(source.request_id())[0] == clock.now_ms


def test_group_ids_are_32_hex_characters_and_differ() -> None:
    source = Snowflake(FakeClock(), node=0)
    made = {source.group_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{32}", group_id) for group_id in made)


def test_access_keys_can_be_read_aloud() -> None:
    made = {ids.new_access_key() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[a-km-np-z2-9]{20}", key) for key in made)


def test_access_secrets_differ_and_need_no_quoting() -> None:
    made = {ids.new_access_secret() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in made)
