"""The signals that stop a server."""

import signal
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


def ignore_stop_signals() -> None:
    """Ignore them from now on: a second one must not end a process that is about to end."""
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN)
