"""Short forms of the actions on calls and their records, for tests."""

import dataclasses
from collections import deque
from typing import Any

import msgspec
from tests.bindings.actions import A, B, X

from openpns.call_records import listing, service
from openpns.call_records.wire import CallRecord, CallRecordPage
from openpns.core.context import Context, RequestFacts
from openpns.errors import BindingNotFound
from openpns.routing import service as routing
from openpns.routing import traces

T = 1_670_479_632
"""A time in s since 1970."""


class Calls:
    """The calls of one customer."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def with_services(self, **changed: Any) -> "Calls":
        """Return the same calls, on other services."""
        services = dataclasses.replace(self.context.services, **changed)
        return Calls(msgspec.structs.replace(self.context, services=services))

    def sent(self, **facts: Any) -> "Calls":
        """Return the same calls, for a request with these facts."""
        return Calls(msgspec.structs.replace(self.context, request=RequestFacts(**facts)))

    async def ask(self, caller: str = A, did: str = X, digits: str | None = None) -> str:
        """Ask who is called, as a switch does; return the callId, also of a refusal."""
        try:
            answer = await routing.query_axb(self.context, caller=caller, did=did, extension=digits)
        except BindingNotFound:
            return str(self.context.services.call_traces[-1].call_id)
        return answer.call_id

    async def report(self, call_id: str, **fields: Any) -> int:
        """Report a call of ten seconds, six of them after the answer; return the record's id."""
        sent = {"start_at": T, "answer_at": T + 4, "hangup_at": T + 10} | fields
        reported = await service.report_call(
            self.context, call_id=call_id, store_traces=traces.store, **sent
        )
        return reported.id

    async def report_from_elsewhere(self, call_id: str) -> int:
        """Report a call to a worker that was not asked about it."""
        other = self.with_services(call_traces=deque())
        return await other.report(call_id)

    async def call(self, caller: str = A, did: str = X, **fields: Any) -> CallRecord:
        """Make a call and report it; return its record."""
        call_id = await self.ask(caller, did)
        await self.report(call_id, **fields)
        return await self.get(call_id)

    async def get(self, call_id: str) -> CallRecord:
        return await listing.get_call_record(self.context, call_id=call_id)

    async def page(self, limit: int = 0, **filters: Any) -> CallRecordPage:
        return await listing.list_call_records(self.context, limit=limit, **filters)

    async def ids(self, **filters: Any) -> list[int]:
        """Return the ids of all records that match, over all pages of two."""
        found: list[int] = []
        after: str | None = ""
        while after is not None:
            page = await self.page(2, after=after, **filters)
            found += [record.id for record in page.records]
            assert page.next != after
            after = page.next
        return found


LOST = {"caller": A, "did": X}
"""What a report names besides the binding if its question is not known."""

__all__ = ["LOST", "A", "B", "Calls", "T", "X"]
