import signal
from collections.abc import Iterator

import pytest

from openpns.kit.stop_signals import ignore_stop_signals, stop_signals

ALL = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_stop_signals_has_a_hangup_unless_it_is_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert stop_signals() == ALL
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert stop_signals() == ALL[:2]


def test_ignored_signals_end_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    ignore_stop_signals()
    for number in ALL:
        signal.raise_signal(number)
    assert {signal.getsignal(number) for number in ALL} == {signal.SIG_IGN}
