from email.utils import parsedate_to_datetime

import pytest
from tests.testing.conftest import LIST, PlainClient

from openpns.clock import now_ms
from openpns.testing import Emulator, MovableClock

A_DAY_S = 86_400


def test_clock_is_real_time_until_moved() -> None:
    before = now_ms()
    clock = MovableClock()
    assert before <= clock() <= now_ms()


def test_frozen_clock_can_be_moved() -> None:
    clock = MovableClock()
    clock.freeze()
    clock.set(1_670_479_632_933)
    assert clock() == 1_670_479_632_933
    clock.advance(seconds=60.001)
    assert clock() == 1_670_479_692_934
    clock.advance(seconds=-60.001)
    assert repr(clock) == "MovableClock(now_ms=1670479632933, frozen)"


def test_running_clock_runs_on_after_move() -> None:
    clock = MovableClock()
    clock.set(1000)
    assert 1000 <= clock() < A_DAY_S * 1000
    clock.advance(seconds=A_DAY_S)
    assert A_DAY_S * 1000 <= clock() < 2 * A_DAY_S * 1000
    assert repr(clock).endswith("running)")


def test_unfrozen_clock_runs_on() -> None:
    clock = MovableClock()
    clock.unfreeze()
    assert clock() > A_DAY_S * 1000
    clock.freeze()
    clock.set(1000)
    clock.unfreeze()
    assert 1000 <= clock() < A_DAY_S * 1000


def test_reset_returns_to_real_time() -> None:
    clock = MovableClock()
    clock.freeze()
    clock.set(0)
    before = now_ms()
    clock.reset()
    assert before <= clock() <= now_ms()


@pytest.mark.parametrize("to_ms", [-1, 253_402_300_800_000])
def test_set_refuses_time_outside_date_header(to_ms: int) -> None:
    clock = MovableClock()
    with pytest.raises(ValueError, match="allowed are 0 to 253402300799999 ms"):
        clock.set(to_ms)
    assert clock() > A_DAY_S * 1000


def test_server_uses_moved_clock_for_ts_and_date(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.clock.freeze()
    right = pns_server.clock()
    pns_server.clock.advance(seconds=61)
    late = send("listGroup", LIST, ts=right)
    assert late.code == 1004
    date = parsedate_to_datetime(late.headers["Date"])
    # A client that reads its clock offset from the header is accepted.
    assert send("listGroup", LIST, ts=int(date.timestamp()) * 1000).code == 0
