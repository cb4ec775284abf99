import pytest
from tests.conftest import START_MS, FakeClock

from openpns.core.expiry import CONFIRM_S, SteadyTime

HOUR_MS = 3_600_000
EACH_S = 30


class Machine:
    """A machine whose wall clock may jump, and a SteadyTime that is read every 30 s."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.at_s = 1000.0
        self.steady = SteadyTime(self.clock, lambda: self.at_s)
        self.real_ms = START_MS

    def run(self, seconds: float) -> int | None:
        """Let time pass; return what is read at its end."""
        found = self.steady.read()
        for _ in range(int(seconds / EACH_S)):
            self.at_s += EACH_S
            self.real_ms += EACH_S * 1000
            self.clock.now_ms += EACH_S * 1000
            found = self.steady.read()
        return found


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_steady_time_is_unknown_at_first(machine: Machine) -> None:
    assert machine.run(CONFIRM_S - EACH_S) is None
    assert machine.run(EACH_S) == machine.real_ms


def test_jump_ahead_has_no_effect_if_it_does_not_last(machine: Machine) -> None:
    machine.run(CONFIRM_S)
    machine.clock.now_ms += HOUR_MS
    assert machine.run(CONFIRM_S - EACH_S) == machine.real_ms
    machine.clock.now_ms -= HOUR_MS
    assert machine.run(2 * CONFIRM_S) == machine.real_ms


def test_clock_that_is_ahead_at_the_start_and_then_corrected_is_never_used(
    machine: Machine,
) -> None:
    machine.clock.now_ms += HOUR_MS
    assert machine.run(CONFIRM_S - EACH_S) is None
    machine.clock.now_ms -= HOUR_MS
    assert machine.run(EACH_S) == machine.real_ms


def test_jump_ahead_that_lasts_is_the_time(machine: Machine) -> None:
    machine.run(CONFIRM_S)
    machine.clock.now_ms += HOUR_MS
    assert machine.run(CONFIRM_S + EACH_S) == machine.real_ms + HOUR_MS


def test_jump_back_is_the_time_at_once(machine: Machine) -> None:
    machine.run(CONFIRM_S)
    machine.clock.now_ms -= HOUR_MS
    assert machine.run(0) == machine.real_ms - HOUR_MS


def test_jump_ahead_while_the_process_was_stopped_has_to_last_too(machine: Machine) -> None:
    machine.run(CONFIRM_S)
    machine.clock.now_ms += HOUR_MS
    for passed in (3 * CONFIRM_S, EACH_S):
        machine.at_s += passed
        machine.real_ms += int(passed * 1000)
        machine.clock.now_ms += int(passed * 1000)
        assert machine.steady.read() == machine.real_ms
