"""The rows of the registry for call records."""

from functools import partial
from typing import Final

from msgspec import UNSET

from openpns import limits
from openpns.call_records import listing, service, wire
from openpns.call_records.service import StoreTraces
from openpns.core.actions import Action

_RECORDS_EACH: Final = 100
_SEARCH_UNITS: Final = 4


def _cost_of_list(request: wire.ListCallRecords) -> int:
    filters = (request.phone, request.did, request.bind_id)
    is_search = sum(value is not UNSET for value in filters) > 1
    records = request.limit or limits.CALL_RECORDS_IN_PAGE_MAX
    return max(-(-records // _RECORDS_EACH), 1) + is_search * _SEARCH_UNITS


def actions(store_traces: StoreTraces) -> dict[str, Action]:
    """Return the rows; `store_traces` stores the traces that a process has in memory."""
    return {
        "reportCall": Action(
            wire.ReportCall,
            partial(service.report_call, store_traces=store_traces),
            answer=wire.Reported,
            is_write=True,
        ),
        "listCallRecords": Action(
            wire.ListCallRecords,
            listing.list_call_records,
            answer=wire.CallRecordPage,
            cost=_cost_of_list,
        ),
        "getCallRecord": Action(
            wire.GetCallRecord, listing.get_call_record, answer=wire.CallRecord
        ),
    }
