"""What was asked and answered for each call, written off the answer's path.

A question only notes its trace in memory (`Services.call_traces`). Each worker stores the traces
every `STORE_S`; a crash loses those of the last interval. A call without a binding is also an event
for the customer's webhook, stored with its trace.

The stored traces of a customer are numbered, and those too far behind the last one are deleted.

Source: docs/decisions/0043-bounded-traces.md.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.core import outbox, usage
from openpns.core.context import Services
from openpns.core.expiry import delete_expired
from openpns.core.outbox import Event
from openpns.routing import unbound_calls
from openpns.routing.outcomes import CALLS_OMITTED, TRACES_DROPPED
from openpns.storage.store import Statement, StatementBatch, Transaction

STORE_S: Final = 0.5
"""How often each worker stores the traces of calls."""

KEPT_MS: Final = limits.DAY_MS
"""How long a trace waits for the record of its call."""

TRACES_MAX: Final = 20_000
"""Traces in memory; if the storage is away for longer, the oldest are lost."""

_EACH: Final = 1000
_DROPPED_EACH: Final = 2 * _EACH
"""More than a transaction adds, so that a lower bound is reached, too."""
_SEQUENCE: Final = "trace"


class Trace(msgspec.Struct, frozen=True):
    """A question and its answer; bind_id and callee are empty if nobody was called.

    Attributes:
        event_id: Of the event for the customer's webhook; empty if there is none.
    """

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
    event_id: str = ""

    def __repr__(self) -> str:  # without the phones
        return f"Trace({self.call_id!r})"


def note(
    services: Services, trace: Trace, *, is_known: bool = True, is_failure: bool = True
) -> None:
    """Note a trace in memory; if nobody is called, with an event unless there are too many.

    Args:
        is_known: Whether the virtual number is the customer's. All others together may have as many
            events as one: there are any number of them.
        is_failure: Whether the answer was 10013, if nobody is called. Else the caller was asked for
            digits: that is no event.
    """
    noted = services.call_traces
    if len(noted) >= TRACES_MAX:
        services.count(TRACES_DROPPED, 1)
        if noted.popleft().event_id:
            services.count(CALLS_OMITTED, 1)
    if not trace.bind_id and is_failure:
        # With the customer: the virtual number of a question need not be its own.
        bounded = f"{trace.customer_id} {trace.did if is_known else ''}"
        if services.unbound_calls.allows(bounded, trace.asked_ms):
            # Now, so that a second attempt to store it stores no second event.
            trace = msgspec.structs.replace(trace, event_id=services.ids.request_id())
        else:
            services.count(CALLS_OMITTED, 1)
    noted.append(trace)


async def store(services: Services) -> None:
    """Store the traces that were noted since the last time.

    They are kept if that fails or is cancelled. Of a customer who has too many, the oldest are
    deleted.

    Raises:
        WireError: The storage failed.
    """
    noted = services.call_traces
    while noted:
        some = [noted.popleft() for _ in range(min(_EACH, len(noted)))]
        try:
            dropped, omitted = await services.store.write(
                lambda: _steps(services, some)  # noqa: B023 - called in this turn
            )
        except BaseException:  # a cancelled request, too; what is stored already stays as it is
            noted.extendleft(reversed(some))
            raise
        if dropped:
            services.count(TRACES_DROPPED, dropped)
        if omitted:
            services.count(CALLS_OMITTED, omitted)


def _steps(services: Services, traces: Sequence[Trace]) -> Transaction[tuple[int, int]]:
    """Store traces; return how many others were deleted, and how many events were left out."""
    by_customer: dict[str, list[dict[str, Any]]] = {}
    for trace in traces:
        by_customer.setdefault(trace.customer_id, []).append(msgspec.structs.asdict(trace))
    # The sequences first: until the end, no other worker stores or drops traces of these customers.
    taken = yield Statement(
        "routing_sequence_take",
        {
            "name": _SEQUENCE,
            "customer_ids": [*by_customer],
            "counts": [len(rows) for rows in by_customer.values()],
        },
    )
    next_seqs = {row[0]: row[1] for row in taken}
    for customer_id, rows in by_customer.items():
        for seq, row in enumerate(rows, next_seqs[customer_id] - len(rows)):
            row["trace_seq"] = seq
    # In order, so that two workers do not wait for each other.
    all_rows = [row for rows in by_customer.values() for row in rows]
    yield StatementBatch("call_trace_add", sorted(all_rows, key=lambda row: row["call_id"]))
    called = sorted((row for row in all_rows if row["bind_id"]), key=lambda row: row["bind_id"])
    if called:
        yield StatementBatch("binding_note_call", called)
    omitted = yield from _add_events(services, [trace for trace in traces if trace.event_id])
    traces_max = services.call_traces_per_customer_max
    full = {one: seq - traces_max for one, seq in next_seqs.items() if seq > traces_max}
    if not full:
        return 0, omitted
    last_seqs = [first_seq - 1 for first_seq in full.values()]
    params = {"customer_ids": [*full], "last_seqs": last_seqs, "each": _DROPPED_EACH}
    return len((yield Statement("call_trace_drop", params))), omitted


def _add_events(services: Services, traces: Sequence[Trace]) -> Transaction[int]:
    """Store the events of calls that have one; return how many a quota has kept out."""
    if not traces:
        return 0
    customer_ids = {trace.customer_id for trace in traces}
    full = yield from usage.find_full(services, [*customer_ids])
    stored = [trace for trace in traces if trace.customer_id not in full]
    events: list[Statement] = []
    for trace in sorted(stored, key=lambda trace: trace.customer_id):  # in order: see `usage`
        event = _event_of(services, trace)
        events += outbox.add_counted(trace.customer_id, event, trace.asked_ms)
    for name in ("delivery_count", "delivery_add"):
        params = [one.params for one in events if one.name == name]
        if params:
            yield StatementBatch(name, params)
    return len(traces) - len(stored)


def _event_of(services: Services, trace: Trace) -> Event:
    return unbound_calls.event(
        trace.event_id,
        trace.request_id,
        trace.asked_ms,
        caller=trace.caller,
        did=trace.did,
        extension=trace.extension,
        zone=services.webhook_time_zone,
    )


async def delete_old(services: Services) -> None:
    """Delete traces whose call has got no record in time."""
    before = {"asked_ms": services.clock() - KEPT_MS}
    await delete_expired(services, "call_trace_clean", before)
