"""Counters of the delivery workers of a machine: a row per worker; see `kit.counter_rows`."""

import os
from typing import Final

from openpns.kit import counter_rows

RESULTS: Final = ("delivered", "retried", "failed", "gone")
"""Results of attempts: taken; to be tried again; failed for good; the receiver is gone (410)."""

IN_FLIGHT: Final = len(RESULTS)
"""The cell of the attempts in flight."""
PENDING: Final = IN_FLIGHT + 1
"""The cell of the pending deliveries, which all workers see."""
OLDEST_S: Final = PENDING + 1
"""The cell of the age of the oldest of them, in s."""
_PID: Final = OLDEST_S + 1
_BEATS: Final = _PID + 1
_CELLS: Final = _BEATS + 1


def create_file(rows: int) -> int:
    """Return the descriptor of a new file for so many workers at once."""
    return counter_rows.create_file(rows, _CELLS)


class DeliveryCounters:
    """The row of one worker in a file of counters; None for a row of this process alone."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._cells = counter_rows.claim_row(descriptor, _CELLS)
        for gauge in (IN_FLIGHT, PENDING, OLDEST_S, _BEATS):
            self._cells[gauge] = 0  # a worker that died may have left some
        self._cells[_PID] = os.getpid()

    def count(self, result: str) -> None:
        """Count an attempt by its result, one of RESULTS."""
        self._cells[RESULTS.index(result)] += 1

    def set_in_flight(self, attempts: int) -> None:
        """Set the number of attempts in flight."""
        self._cells[IN_FLIGHT] = attempts

    def set_backlog(self, pending: int, oldest_s: int) -> None:
        """Set how many deliveries are pending, and the age of the oldest in s."""
        self._cells[PENDING] = pending
        self._cells[OLDEST_S] = oldest_s

    def beat(self) -> None:
        """Show that the event loop runs."""
        self._cells[_BEATS] += 1

    def total(self) -> list[int]:
        """Return the cells of this row."""
        return list(self._cells)


def read_total(descriptor: int) -> list[int]:
    """Return the cells of all workers together.

    Raises:
        OSError: The file cannot be read.
    """
    cells = counter_rows.read_rows(descriptor)
    return [
        (max if cell in (PENDING, OLDEST_S) else sum)(cells[cell::_CELLS]) for cell in range(_CELLS)
    ]


def read_beats(descriptor: int) -> dict[int, int]:
    """Return how often each worker has called `beat`, by its pid; 0 before the first time."""
    cells = counter_rows.read_rows(descriptor)
    return dict(zip(cells[_PID::_CELLS], cells[_BEATS::_CELLS], strict=True))
