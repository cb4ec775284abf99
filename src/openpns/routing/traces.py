"""What was asked and answered for each call, written off the answer's path.

A question only notes its trace in memory (`Services.call_traces`). Each worker stores the traces
every `STORE_S`; a crash loses those of the last interval.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from openpns import limits
from openpns.core.context import Services
from openpns.core.expiry import delete_expired
from openpns.errors import WireError
from openpns.storage.store import StatementBatch, Transaction

STORE_S: Final = 0.5
"""How often each worker stores the traces of calls."""

KEPT_MS: Final = limits.DAY_MS
"""How long a trace waits for the record of its call."""

TRACES_MAX: Final = 20_000
"""Traces in memory; if the storage is away for longer, the oldest are lost."""

_EACH: Final = 1000


class Trace(msgspec.Struct, frozen=True):
    """A question and its answer; bind_id and callee are empty if nobody was called."""

    customer_id: str
    call_id: str
    asked_ms: int
    bind_id: str
    caller: str
    callee: str
    did: str
    extension: str
    flag: int
    request_id: str

    def __repr__(self) -> str:  # without the phones
        return f"Trace({self.call_id!r})"


def note(services: Services, trace: Trace) -> None:
    """Note a trace in memory."""
    noted = services.call_traces
    if len(noted) >= TRACES_MAX:
        noted.popleft()
    noted.append(trace)


async def store(services: Services) -> None:
    """Store the traces that were noted since the last time; keep them if that fails.

    Raises:
        WireError: The storage failed.
    """
    noted = services.call_traces
    while noted:
        some = [noted.popleft() for _ in range(min(_EACH, len(noted)))]
        try:
            await services.store.write(lambda: _steps(some))  # noqa: B023 - called in this turn
        except WireError:
            noted.extendleft(reversed(some))
            raise


def _steps(traces: Sequence[Trace]) -> Transaction[None]:
    # In order, so that two workers do not wait for each other.
    rows = [msgspec.structs.asdict(trace) for trace in traces]
    yield StatementBatch("call_trace_add", sorted(rows, key=lambda row: row["call_id"]))
    called = sorted((row for row in rows if row["bind_id"]), key=lambda row: row["bind_id"])
    if called:
        yield StatementBatch("binding_note_call", called)


async def delete_old(services: Services) -> None:
    """Delete traces whose call has got no record in time."""
    before = {"asked_ms": services.clock() - KEPT_MS}
    await delete_expired(services, "call_trace_clean", before)
