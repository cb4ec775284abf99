import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpns.client.timestamps import ClockSkewWarning, Timestamps

NOW = datetime(2022, 12, 8, 6, 7, 12, tzinfo=UTC)
NOW_MS = 1_670_479_632_000


SKEW_MS_MAX = 3_600_000


class SetClock:
    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def test_next_adds_1_ms_with_frozen_clock() -> None:
    timestamps = Timestamps(SetClock(), SKEW_MS_MAX)
    assert [timestamps.next() for _ in range(3)] == [NOW_MS, NOW_MS + 1, NOW_MS + 2]


def test_next_never_repeats_in_threads() -> None:
    timestamps = Timestamps(SetClock(), SKEW_MS_MAX)
    barrier = threading.Barrier(8)

    def take(_: int) -> list[int]:
        barrier.wait(10)
        return [timestamps.next() for _ in range(1000)]

    with ThreadPoolExecutor(8) as pool:
        taken = [ts for each in pool.map(take, range(8)) for ts in each]
    assert sorted(taken) == list(range(NOW_MS, NOW_MS + 8000))


def test_next_stays_ahead_if_clock_goes_back() -> None:
    clock = SetClock()
    timestamps = Timestamps(clock, SKEW_MS_MAX)
    first = timestamps.next()
    clock.now_ms -= 3_600_000
    assert timestamps.next() == first + 1


@pytest.mark.parametrize("off_ms", [-3_600_000, 3_600_000])
def test_correct_learns_the_server_time(off_ms: int) -> None:
    clock = SetClock(NOW_MS + off_ms)
    timestamps = Timestamps(clock, SKEW_MS_MAX)
    with pytest.warns(ClockSkewWarning, match="3600 s (behind|ahead of) the server's clock"):
        assert timestamps.correct(NOW, timestamps.next())
    assert timestamps.next() == NOW_MS
    clock.now_ms += 5000
    assert timestamps.next() == NOW_MS + 5000


def test_correct_follows_a_clock_that_was_set_back() -> None:
    clock = SetClock(NOW_MS + 3_600_000)
    timestamps = Timestamps(clock, SKEW_MS_MAX)
    timestamps.next()
    clock.now_ms = NOW_MS
    refused = timestamps.next()
    assert refused > NOW_MS + 3_600_000
    assert timestamps.correct(NOW, refused)  # without a warning: the clock is right
    assert timestamps.next() == NOW_MS


@pytest.mark.parametrize("off_ms", [-SKEW_MS_MAX, SKEW_MS_MAX])
def test_correct_refuses_a_larger_skew(off_ms: int) -> None:
    clock = SetClock(NOW_MS + off_ms + (1 if off_ms > 0 else -1))
    timestamps = Timestamps(clock, SKEW_MS_MAX)
    refused = timestamps.next()
    assert not timestamps.correct(NOW, refused)
    assert timestamps.next() == refused + 1
    hint = timestamps.why_not_learnt(NOW, "corrects less")
    assert hint is not None
    assert re.fullmatch(
        "this machine's clock is 3600 s (behind|ahead of) the server's clock, and this client "
        "corrects less: synchronise the machine's clock",
        hint,
    )


def test_small_skew_needs_no_advice() -> None:
    timestamps = Timestamps(SetClock(NOW_MS + 500), SKEW_MS_MAX)
    assert timestamps.why_not_learnt(NOW, "corrects less") is None


@pytest.mark.parametrize("server_time", [None, NOW, NOW + timedelta(seconds=0.9)])
def test_correct_refuses_without_a_difference(server_time: datetime | None) -> None:
    timestamps = Timestamps(SetClock(), SKEW_MS_MAX)
    assert not timestamps.correct(server_time, timestamps.next())


def test_next_skips_what_was_returned_before_correction() -> None:
    clock = SetClock(NOW_MS + 2000)
    timestamps = Timestamps(clock, SKEW_MS_MAX)
    ahead = [timestamps.next() for _ in range(3)]
    with pytest.warns(ClockSkewWarning):
        timestamps.correct(NOW, ahead[-1])
    clock.now_ms += 2000
    assert timestamps.next() == ahead[-1] + 1


def test_next_does_not_repeat_a_value_that_a_signal_handler_took() -> None:
    clock = SetClock()
    taken = []

    def interrupted() -> int:
        if not taken:  # a handler that runs while the thread holds the lock
            taken.append(0)
            taken[0] = timestamps.next()
        return clock()

    timestamps = Timestamps(interrupted, SKEW_MS_MAX)
    assert timestamps.next() != taken[0]


@pytest.mark.filterwarnings("ignore::openpns.ClockSkewWarning")
@given(st.lists(st.tuples(st.booleans(), st.integers(-5000, 5000)), max_size=60))
def test_next_never_repeats(steps: list[tuple[bool, int]]) -> None:
    clock = SetClock()
    timestamps = Timestamps(clock, SKEW_MS_MAX)
    taken = []
    for is_correction, value in steps:
        taken.append(timestamps.next())
        if is_correction:
            timestamps.correct(NOW + timedelta(milliseconds=value), taken[-1])
        else:
            clock.now_ms += value
    assert len(taken) == len(set(taken))
