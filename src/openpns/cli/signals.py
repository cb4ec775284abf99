"""Signals that end a command. SIGTERM and SIGHUP end it as Ctrl-C does: it cleans up first."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_SIGNALLED: Final = 128
"""Shells add this to the number of the signal that ended a process."""


@contextmanager
def as_interrupts() -> Iterator[Callable[[], int]]:
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does.

    A signal that is ignored stays so: nohup ignores SIGHUP. The second signal ends the process at
    once. The value is a function that returns the exit code after an interrupt.
    """
    received = signal.SIGINT

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)
        # An event loop has a handler of its own, which cancels its main task.
        on_sigint = signal.getsignal(signal.SIGINT)
        if not callable(on_sigint):
            raise KeyboardInterrupt
        on_sigint(signal.SIGINT, frame)

    # Only the main thread may set handlers.
    is_main = threading.current_thread() is threading.main_thread()
    taken = [one for one in _ENDING if is_main and signal.getsignal(one) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield lambda: _SIGNALLED + received
    finally:
        for number in taken:
            if signal.getsignal(number) is interrupt:
                signal.signal(number, signal.SIG_DFL)
