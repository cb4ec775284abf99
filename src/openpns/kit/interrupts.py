"""Signals that end a command. SIGTERM and SIGHUP end it as Ctrl-C does: it cleans up first."""

import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

ResultT = TypeVar("ResultT")

_ENDING: Final[dict[signal.Signals, Any]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""The signals, with Python's own handlers of them."""

_SIGNALLED: Final = 128
"""Shells add this to the number of the signal that ended a process."""


class _Interrupts:
    """What the handler and the code that it interrupts have in common.

    Attributes:
        received: The first signal.
        cancel: Cancels the event loop's main task; None if no loop runs.
    """

    received: signal.Signals | None = None
    cancel: Callable[[], object] | None = None


_state: Final = _Interrupts()


@contextmanager
def as_interrupts() -> Iterator[Callable[[], int]]:
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does.

    A signal that is ignored stays so: nohup ignores SIGHUP, and a script ignores SIGINT for a
    command in the background. The second signal, of any kind, ends the process at once. The value
    is a function that returns the exit code after an interrupt.
    """

    def interrupt(number: int, _: FrameType | None) -> None:
        # The others keep their handler: Python reports a signal that lost its handler on the way.
        signal.signal(number, signal.SIG_DFL)
        if _state.received is not None:
            signal.raise_signal(number)
        _state.received = signal.Signals(number)
        if _state.cancel is None:
            raise KeyboardInterrupt
        _state.cancel()

    # Only the main thread may set handlers.
    is_main = threading.current_thread() is threading.main_thread()
    usual = _ENDING if is_main else {}
    taken = [number for number, handler in usual.items() if signal.getsignal(number) is handler]
    _state.received = None
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield lambda: _SIGNALLED + (_state.received or signal.SIGINT)
    finally:
        for number in taken:
            if signal.getsignal(number) is interrupt or _state.received is not None:
                signal.signal(number, usual[number])
        _state.received = None


def is_interrupted() -> bool:
    """Return whether a signal has come, so that the command must not wait for others any more."""
    return _state.received is not None


def run_loop(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine in a new event loop, in the main thread; a signal cancels it.

    An exception that a signal handler raises would end whatever task runs, or the loop itself.

    Raises:
        KeyboardInterrupt: A signal has come, and the coroutine has ended.
    """
    import asyncio  # noqa: PLC0415 - commands without a loop start faster

    is_cancelled = False
    loop: asyncio.AbstractEventLoop | None = None
    task: asyncio.Task[ResultT] | None = None

    def cancel() -> None:
        nonlocal is_cancelled
        is_cancelled = True
        if task is not None:
            task.cancel()
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(lambda: None)  # it may wait for its files

    _state.cancel = cancel
    try:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            task = loop.create_task(main)
            if is_cancelled:  # before it began
                task.cancel()
            return loop.run_until_complete(task)
    finally:
        _state.cancel = None
        if is_cancelled:
            raise KeyboardInterrupt
