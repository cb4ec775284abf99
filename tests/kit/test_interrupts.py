import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from openpns.kit.interrupts import as_interrupts, is_interrupted, run_loop

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
        assert is_interrupted()
        assert exit_code() == 128 + number
    assert not is_interrupted()


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("on_sigint", [signal.default_int_handler, signal.SIG_IGN])
def test_signal_cancels_the_main_task_of_an_event_loop(
    number: signal.Signals, on_sigint: signal.Handlers
) -> None:
    if number is signal.SIGINT and on_sigint is signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, on_sigint)  # sh ignores it for a command in the background
    cleaned_up = []

    async def other() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            cleaned_up.append("other")

    async def work() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(other())
                await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned_up.append("main")

    with as_interrupts(), pytest.raises(KeyboardInterrupt):
        run_loop(work())
    assert cleaned_up == ["other", "main"]


def test_signal_is_not_lost_if_the_loop_ends_without_an_error() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with as_interrupts(), pytest.raises(KeyboardInterrupt):
        run_loop(work())


def test_run_loop_returns_or_raises_what_the_coroutine_does() -> None:
    async def succeed() -> int:
        return 1

    async def fail() -> None:
        raise LookupError

    assert run_loop(succeed()) == 1
    with pytest.raises(LookupError):
        run_loop(fail())


def test_signal_interrupts_although_sigint_is_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as sh does for a command in the background
    with as_interrupts(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_ignored_signal_stays_ignored_and_others_are_restored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with as_interrupts():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SECOND = """
import asyncio, os, signal, sys
from openpns.kit.interrupts import as_interrupts, run_loop
first, second = (signal.Signals[name] for name in sys.argv[1:3])
async def work():
    try:
        os.kill(os.getpid(), first)
        await asyncio.sleep(60)
    finally:
        os.kill(os.getpid(), second)
with as_interrupts():
    if sys.argv[3] == "loop":
        run_loop(work())
    try:
        os.kill(os.getpid(), first)
    except KeyboardInterrupt:
        os.kill(os.getpid(), second)
"""


@pytest.mark.parametrize("place", ["loop", "no loop"])
@pytest.mark.parametrize(
    ("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGTERM", "SIGINT"), ("SIGINT", "SIGINT")]
)
def test_second_signal_ends_the_process_at_once(first: str, second: str, place: str) -> None:
    command = [sys.executable, "-c", SECOND, first, second, place]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (-signal.Signals[second], b"")
