import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from openpns.cli.signals import as_interrupts

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING[1:]:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_signal_interrupts_and_gives_its_exit_code(number: signal.Signals) -> None:
    with as_interrupts() as exit_code:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert exit_code() == 128 + number


@pytest.mark.parametrize("number", ENDING)
def test_signal_cancels_the_main_task_of_an_event_loop(number: signal.Signals) -> None:
    cleaned_up = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            cleaned_up.append(True)

    with as_interrupts(), pytest.raises(KeyboardInterrupt):
        asyncio.run(work())
    assert cleaned_up == [True]


def test_signal_interrupts_although_sigint_is_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as sh does for a command in the background
    with as_interrupts(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_ignored_signal_stays_ignored_and_others_are_restored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with as_interrupts():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_second_signal_ends_the_process_at_once() -> None:
    code = """
import os, signal
from openpns.cli.signals import as_interrupts
with as_interrupts():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGTERM)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGTERM
