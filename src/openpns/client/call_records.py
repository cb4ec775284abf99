"""The methods of both clients for call records."""

from collections.abc import AsyncGenerator, Iterator
from datetime import datetime

from openpns import limits
from openpns.client import call_record_requests
from openpns.client.call_record_types import CallRecord, CallRecordFilters
from openpns.client.methods import AsyncMethods, Method, SyncMethods
from openpns.client.pages import CallRecordPager


class _CallRecordMethods:
    """The methods that send one request, the same for both clients."""

    report = Method(call_record_requests.report_call)
    list = Method(call_record_requests.list_call_records)
    get = Method(call_record_requests.get_call_record)


class CallRecords(_CallRecordMethods, SyncMethods):
    """The call records of a `Client`. An extension of openpns."""

    def iterate(
        self,
        page_size: int = limits.CALL_RECORDS_IN_PAGE_MAX,
        *,
        after: str = "",
        bind_id: str | None = None,
        did: str | None = None,
        phone: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[CallRecord]:
        """Return every record, or those that match, page by page, newest first.

        No record is skipped or returned twice, whatever is stored during the iteration; later
        calls are not in it.

        Args:
            page_size: How many records a page holds at most, 1 to 1000.
            after: Begin after this place, the `next` of a page of `list`.
            phone: Only calls from or to this phone.
            since: Only calls that began then or later, an aware datetime.
            until: Only calls that began before, an aware datetime.

        Raises:
            ValueError: page_size is outside its range, or a time has no time zone.
        """
        filters = CallRecordFilters(bind_id, did, phone, since, until)
        return self._pages(CallRecordPager(page_size, filters, after))


class AsyncCallRecords(_CallRecordMethods, AsyncMethods):
    """The call records of an `AsyncClient`. An extension of openpns."""

    def iterate(
        self,
        page_size: int = limits.CALL_RECORDS_IN_PAGE_MAX,
        *,
        after: str = "",
        bind_id: str | None = None,
        did: str | None = None,
        phone: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncGenerator[CallRecord, None]:
        """Return every record, or those that match, page by page; see `CallRecords.iterate`."""
        filters = CallRecordFilters(bind_id, did, phone, since, until)
        return self._pages(CallRecordPager(page_size, filters, after))
