"""Counters of all workers of a server: one memory-mapped file with one row per worker.

The admin port reads the file and adds up the rows, except for what all workers share. See
`kit.counter_rows`.
"""

import os
from bisect import bisect_left
from typing import Final

from openpns.api.registry import ACTIONS
from openpns.call_records.causes import RESULTS
from openpns.errors import WIRE_ERRORS
from openpns.kit import counter_rows
from openpns.routing.outcomes import CALLS_OMITTED, GUARDS_DROPPED, OUTCOMES, TRACES_DROPPED

NO_ACTION: Final = "none"
"""The action label of requests that were refused before their action was known."""

BUCKETS_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the latency histogram, in seconds."""

ACTIONS_COUNTED: Final = (NO_ACTION, *ACTIONS)
CODES_COUNTED: Final = (0, *sorted(WIRE_ERRORS))
_ACTION_INDEX: Final = {action: index for index, action in enumerate(ACTIONS_COUNTED)}
_CODE_INDEX: Final = {code: index for index, code in enumerate(CODES_COUNTED)}

EVENTS: Final = (*OUTCOMES, *RESULTS, TRACES_DROPPED, GUARDS_DROPPED, CALLS_OMITTED)
"""What rules count: what became of questions, and what was deleted before its time."""
_EVENT_INDEX: Final = {event: index for index, event in enumerate(EVENTS)}

# A row: a cell for each action and code, the latencies of each action, the gauges, storage errors,
# omitted log lines, the events, the worker's pid and heartbeat.
LATENCY: Final = len(ACTIONS_COUNTED) * len(CODES_COUNTED)
"""The first cell of the latencies."""
LATENCY_CELLS: Final = len(BUCKETS_S) + 2
"""Cells of the latencies of an action: the buckets, +Inf, the sum in µs."""
GAUGE: Final = LATENCY + len(ACTIONS_COUNTED) * LATENCY_CELLS
"""The cell of the first gauge."""
_WORKER_GAUGES: Final = (
    ("openpns_requests_in_flight", "Requests in flight."),
    ("openpns_connections", "Open connections."),
    ("openpns_received_bytes", "Bytes of requests that arrive in parts or wait."),
    ("openpns_unsent_bytes", "Bytes of responses that clients have not taken yet."),
    ("openpns_searches", "Searches that take long and run."),
    ("openpns_searches_waiting", "Searches that wait for a place."),
    ("openpns_large_pages", "Large pages that are read."),
    ("openpns_large_pages_waiting", "Large pages that wait for a place."),
    (
        "openpns_writes_waiting",
        "Writes that wait for SQLite's writer; reads and writes that wait for a connection.",
    ),
)
_DATABASE_GAUGES: Final = (
    ("openpns_audit_unsealed_entries", "Audit entries that are not sealed yet; at most 10 000."),
    ("openpns_audit_unsealed_age_seconds", "Age of the oldest audit entry that is not sealed yet."),
    ("openpns_database_bytes", "Size of the SQLite file; 0 on PostgreSQL."),
    ("openpns_database_log_bytes", "Size of SQLite's write-ahead log; 0 on PostgreSQL."),
    ("openpns_customers_held", "Customers whose calls are held since a restore."),
)
GAUGES: Final = (*_WORKER_GAUGES, *_DATABASE_GAUGES)
"""Names and meanings of the gauges: those of a worker are added up; all workers see about the same
of the database, so that the largest value counts."""
STORAGE_ERRORS: Final = GAUGE + len(GAUGES)
"""The cell of the storage errors."""
LINES_OMITTED: Final = STORAGE_ERRORS + 1
"""The cell of the log lines that were omitted."""
EVENT: Final = LINES_OMITTED + 1
"""The cell of the first event."""
# Of the worker itself; their sums mean nothing.
_PID: Final = EVENT + len(EVENTS)
_BEATS: Final = _PID + 1
_CELLS: Final = _BEATS + 1


def create_counter_file(rows: int) -> int:
    """Return the descriptor of a new file of counters that are 0, without a name.

    `rows` workers may use it at once.
    """
    return counter_rows.create_file(rows, _CELLS)


class Counters:
    """The row of one worker in a file of counters; None for a row of this process alone.

    The descriptor stays open: closing any of a process releases its row.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._cells = counter_rows.claim_row(descriptor, _CELLS)
        for gauge in range(GAUGE, GAUGE + len(GAUGES)):
            self._cells[gauge] = 0  # a worker that died may have left some
        self._cells[_BEATS] = 0
        self._cells[_PID] = os.getpid() if descriptor is not None else 0

    def set_gauges(self, *values: int) -> None:
        """Set what this worker has in hand at the moment, in the order of `GAUGES`."""
        for cell, value in enumerate(values, GAUGE):
            self._cells[cell] = value

    def count(self, action: str, code: int, duration_s: float) -> None:
        """Count a request that has its response; `action` is NO_ACTION if it is not known."""
        cells = self._cells
        index = _ACTION_INDEX[action]
        cells[index * len(CODES_COUNTED) + _CODE_INDEX[code]] += 1
        latency = LATENCY + index * LATENCY_CELLS
        cells[latency + bisect_left(BUCKETS_S, duration_s)] += 1
        cells[latency + LATENCY_CELLS - 1] += int(duration_s * 1e6)

    def count_storage_error(self) -> None:
        """Count a request that failed because of the database."""
        self._cells[STORAGE_ERRORS] += 1

    def count_omitted_line(self) -> None:
        """Count a log line that a bound has omitted."""
        self._cells[LINES_OMITTED] += 1

    def count_event(self, event: str, number: int) -> None:
        """Count what a rule has done: one of `EVENTS`."""
        self._cells[EVENT + _EVENT_INDEX[event]] += number

    def beat(self) -> None:
        """Show that the event loop runs; see `read_beats`."""
        self._cells[_BEATS] += 1

    def total(self) -> list[int]:
        """Return the cells of this row."""
        return list(self._cells)


def read_total(descriptor: int) -> list[int]:
    """Return the cells of a file of counters of all workers together."""
    cells = counter_rows.read_rows(descriptor)
    database = range(GAUGE + len(_WORKER_GAUGES), GAUGE + len(GAUGES))
    return [
        max(cells[cell::_CELLS]) if cell in database else sum(cells[cell::_CELLS])
        for cell in range(_CELLS)
    ]


def read_beats(descriptor: int) -> dict[int, int]:
    """Return how often each worker has called `beat`, by its pid; 0 before the first time.

    Workers that have ended may be among them.
    """
    cells = counter_rows.read_rows(descriptor)
    return dict(zip(cells[_PID::_CELLS], cells[_BEATS::_CELLS], strict=True))
