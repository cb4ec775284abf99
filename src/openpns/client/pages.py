"""Paging, without I/O: which request comes next, and which items of its page are new."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.client import binding_requests, call_record_requests
from openpns.client.binding_types import (
    Binding,
    BindingCursorPage,
    BindingFilters,
    BindingPage,
    NumberPage,
    NumberState,
    VirtualNumber,
)
from openpns.client.call_record_types import CallRecord, CallRecordFilters, CallRecordPage
from openpns.client.delivery_requests import list_deliveries
from openpns.client.delivery_types import Delivery, DeliveryPage, DeliveryState
from openpns.client.group_requests import list_groups, list_phones, page_after
from openpns.client.group_types import CursorPage, Filters, Group, GroupPage
from openpns.client.number_requests import list_numbers
from openpns.client.requests import Request
from openpns.errors import OffsetOutOfRange, ParameterError, UnknownCode, WireError
from openpns.groups.wire import PhonePage

_MISSING_OFFSET: Final = (ParameterError, OffsetOutOfRange, UnknownCode)
"""How a server may refuse `after` if it does not know it."""

PageT = TypeVar("PageT")
ItemT = TypeVar("ItemT")


class Pager(ABC, Generic[PageT, ItemT]):
    """Which pages to request."""

    @abstractmethod
    def next_request(self) -> Request[PageT] | None:
        """Return the request for the next page; None after the last page."""

    @abstractmethod
    def accept(self, page: PageT) -> Sequence[ItemT]:
        """Return the items of the page that was requested, without those returned before."""

    def can_fall_back(self, error: WireError) -> bool:  # noqa: ARG002
        """Return whether `next_request` requests the refused page in another way."""
        return False


class CursorPager(Pager[PageT, ItemT]):
    """Pages by `after` if the server knows it, otherwise by offset.

    The first page shows whether it does. A server that does not know `after` refuses the request,
    which has no offset, or sends no `data.next`; then the page is requested again, by offset. Such
    a server does not know filters either, so only everything, oldest first, is paged by offset.
    """

    def __init__(self, page_size: int, page_size_max: int, *, has_filters: bool) -> None:
        _check_page_size(page_size, page_size_max)
        self._page_size = page_size
        self._has_filters = has_filters
        self._after: str | None = ""
        self._offset = 0
        self._is_done = False

    @abstractmethod
    def _page_after(self, after: str, *, may_be_plain: bool) -> Request[PageT]: ...

    @abstractmethod
    def _page_at(self, offset: int) -> Request[PageT]: ...

    @abstractmethod
    def _read(self, page: PageT) -> tuple[Sequence[ItemT], int, str | UnsetType | None]:
        """Return the items, the total, and the next `after`; UNSET if the server knows none."""

    def next_request(self) -> Request[PageT] | None:  # noqa: D102
        if self._is_done:
            return None
        if self._after is None:
            return self._page_at(self._offset)
        return self._page_after(self._after, may_be_plain=self._may_fall_back)

    def accept(self, page: PageT) -> Sequence[ItemT]:  # noqa: D102
        items, total, after = self._read(page)
        if after is not UNSET:
            self._is_done = after is None or not items
            self._after = after or ""
            return items
        if self._after is not None:
            self._after = None  # it is not certain which page this is
            return ()
        self._offset += len(items)
        self._is_done = not items or self._offset >= total
        return items

    def can_fall_back(self, error: WireError) -> bool:  # noqa: D102
        if self._may_fall_back and isinstance(error, _MISSING_OFFSET):
            self._after = None
            return True
        return False

    @property
    def _may_fall_back(self) -> bool:
        return self._after == "" and not self._has_filters


class GroupPager(CursorPager[GroupPage, Group]):
    """Pages through groups."""

    def __init__(
        self, page_size: int = limits.GROUPS_IN_PAGE_MAX, filters: Filters | None = None
    ) -> None:
        self._filters = filters or Filters()
        has_filters = bool(self._filters.body())
        super().__init__(page_size, limits.GROUPS_IN_PAGE_MAX, has_filters=has_filters)

    def _page_after(self, after: str, *, may_be_plain: bool) -> Request[GroupPage]:
        return page_after(after, self._page_size, self._filters, may_be_plain=may_be_plain)

    def _page_at(self, offset: int) -> Request[GroupPage]:
        return list_groups(self._page_size, offset)

    def _read(self, page: GroupPage) -> tuple[Sequence[Group], int, str | UnsetType | None]:
        return page.groups, page.total, page.next if isinstance(page, CursorPage) else UNSET


class BindingPager(CursorPager[BindingPage, Binding]):
    """Pages through bindings."""

    def __init__(self, page_size: int, filters: BindingFilters) -> None:
        self._filters = filters
        has_filters = bool(filters.body())
        super().__init__(page_size, limits.BINDINGS_IN_PAGE_MAX, has_filters=has_filters)

    def _page_after(self, after: str, *, may_be_plain: bool) -> Request[BindingPage]:
        return binding_requests.page_after(
            after, self._page_size, self._filters, may_be_plain=may_be_plain
        )

    def _page_at(self, offset: int) -> Request[BindingPage]:
        return binding_requests.list_bindings(self._page_size, offset)

    def _read(self, page: BindingPage) -> tuple[Sequence[Binding], int, str | UnsetType | None]:
        after = page.next if isinstance(page, BindingCursorPage) else UNSET
        return page.bindings, page.total, after


class NumberPager(Pager[NumberPage, VirtualNumber]):
    """Pages through virtual numbers."""

    def __init__(self, page_size: int, state: NumberState | None) -> None:
        _check_page_size(page_size, limits.NUMBERS_IN_PAGE_MAX)
        self._page_size = page_size
        self._state = state
        self._after: str | None = ""

    def next_request(self) -> Request[NumberPage] | None:  # noqa: D102
        if self._after is None:
            return None
        return list_numbers(self._page_size, self._after, state=self._state)

    def accept(self, page: NumberPage) -> Sequence[VirtualNumber]:  # noqa: D102
        self._after = page.next if page.numbers else None
        return page.numbers


class CallRecordPager(Pager[CallRecordPage, CallRecord]):
    """Pages through call records."""

    def __init__(self, page_size: int, filters: CallRecordFilters, after: str = "") -> None:
        _check_page_size(page_size, limits.CALL_RECORDS_IN_PAGE_MAX)
        self._page_size = page_size
        self._filters = filters
        self._after: str | None = after

    def next_request(self) -> Request[CallRecordPage] | None:  # noqa: D102
        if self._after is None:
            return None
        return call_record_requests.page_of(self._page_size, self._after, self._filters)

    def accept(self, page: CallRecordPage) -> Sequence[CallRecord]:  # noqa: D102
        # A page without records may have a next one; one that is its own next would never end.
        self._after = None if page.next == self._after else page.next
        return page.records


class DeliveryPager(Pager[DeliveryPage, Delivery]):
    """Pages through deliveries."""

    def __init__(self, page_size: int, state: DeliveryState | None) -> None:
        _check_page_size(page_size, limits.DELIVERIES_IN_PAGE_MAX)
        self._page_size = page_size
        self._state = state
        self._after: str | None = ""

    def next_request(self) -> Request[DeliveryPage] | None:  # noqa: D102
        if self._after is None:
            return None
        return list_deliveries(self._page_size, self._after, state=self._state)

    def accept(self, page: DeliveryPage) -> Sequence[Delivery]:  # noqa: D102
        self._after = page.next if page.deliveries else None
        return page.deliveries


class PhonePager(Pager[PhonePage, str]):
    """Pages through a group's phones, in the order they were added."""

    def __init__(self, group_id: str, page_size: int = limits.PHONES_IN_PAGE_MAX) -> None:
        _check_page_size(page_size, limits.PHONES_IN_PAGE_MAX)
        self._group_id = group_id
        self._page_size = page_size
        self._offset = 0
        self._is_done = False

    def next_request(self) -> Request[PhonePage] | None:  # noqa: D102
        if self._is_done:
            return None
        return list_phones(self._group_id, self._page_size, self._offset)

    def accept(self, page: PhonePage) -> Sequence[str]:  # noqa: D102
        phones = page.phones.split(",") if page.phones else []
        self._offset += len(phones)
        self._is_done = not phones or self._offset >= page.total
        return phones


def _check_page_size(page_size: int, page_size_max: int) -> None:
    if not 1 <= page_size <= page_size_max:
        raise ValueError(f"page_size must be from 1 to {page_size_max}")
