"""Paging, without I/O: which request comes next, and which items of its page are new."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from openpns import limits
from openpns.client.group_requests import list_groups, list_phones, page_after
from openpns.client.group_types import CursorPage, Filters, Group, GroupPage
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


class GroupPager(Pager[GroupPage, Group]):
    """Pages through groups: by `after` if the server knows it, otherwise by offset.

    The first page shows whether it does. A server that does not know `after` refuses the request,
    which has no offset, or sends no `data.next`; then the page is requested again, by offset. Such
    a server does not know filters either, so only all groups, oldest first, are paged by offset.
    """

    def __init__(
        self, page_size: int = limits.GROUPS_IN_PAGE_MAX, filters: Filters | None = None
    ) -> None:
        _check_page_size(page_size, limits.GROUPS_IN_PAGE_MAX)
        self._page_size = page_size
        self._filters = filters or Filters()
        self._after: str | None = ""
        self._offset = 0
        self._is_done = False

    def next_request(self) -> Request[GroupPage] | None:  # noqa: D102
        if self._is_done:
            return None
        if self._after is None:
            return list_groups(self._page_size, self._offset)
        may_be_plain = self._may_fall_back
        return page_after(self._after, self._page_size, self._filters, may_be_plain=may_be_plain)

    def accept(self, page: GroupPage) -> Sequence[Group]:  # noqa: D102
        if isinstance(page, CursorPage):
            self._is_done = page.next is None or not page.groups
            self._after = page.next or ""
            return page.groups
        if self._after is not None:
            self._after = None  # it is not certain which page this is
            return ()
        self._offset += len(page.groups)
        self._is_done = not page.groups or self._offset >= page.total
        return page.groups

    def can_fall_back(self, error: WireError) -> bool:  # noqa: D102
        if self._may_fall_back and isinstance(error, _MISSING_OFFSET):
            self._after = None
            return True
        return False

    @property
    def _may_fall_back(self) -> bool:
        return self._after == "" and not self._filters.body()


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
