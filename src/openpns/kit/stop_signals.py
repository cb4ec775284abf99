"""The signals that stop a server."""

import os
import signal
from collections.abc import Callable
from typing import Final

OF_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGHUP})
"""Signals that a terminal sends to all its processes, the workers of a server included."""


def stop_signals() -> list[signal.Signals]:
    """Return SIGTERM, SIGINT, and SIGHUP, which a closed terminal sends.

    A SIGHUP that is ignored when the process starts stays ignored: `nohup` asks for that.
    """
    found = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found


def catch_stop_signals() -> Callable[[], None]:
    """Let the signals no longer end the process; return a function that waits for one of them.

    For the main thread of a process without an event loop there. The signal itself writes to a
    pipe: a lock that a handler takes may be held by the code that it interrupts, and a signal that
    another thread receives does not wake the main thread.
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in stop_signals():
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        os.read(readable, 1)

    return wait


def ignore_stop_signals() -> None:
    """Ignore them from now on: a second one must not end a process that is about to end."""
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN)
