"""Paging: which call comes next, and what of its answer is new. No I/O."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from openpns import limits
from openpns.client.extension_calls import (
    Filters,
    PageBehind,
    PhonePage,
    list_phones,
    page_behind,
)
from openpns.client.requests import Call, Group, GroupPage, list_groups
from openpns.errors import OffsetOutOfRange, ParameterError, UnknownCode, WireError

_MISSING_OFFSET: Final = (ParameterError, OffsetOutOfRange, UnknownCode)
"""What a server may answer that knows no `after`."""

PageT = TypeVar("PageT")
ItemT = TypeVar("ItemT")


class Pager(ABC, Generic[PageT, ItemT]):
    """Pages through something."""

    @abstractmethod
    def next_call(self) -> Call[PageT] | None:
        """Return the next page's call; None after the last page."""

    @abstractmethod
    def accept(self, page: PageT) -> Sequence[ItemT]:
        """Take a page; return what stands on it and did not come before.

        Args:
            page: What the last call returned.
        """

    def refused(self, error: WireError) -> bool:  # noqa: ARG002
        """Tell whether there is another way to go on after an error.

        Args:
            error: What the last call was answered with.
        """
        return False


class GroupPager(Pager[GroupPage, Group]):
    """Pages through groups: behind the last one seen where the server offers it, else by offset.

    Whether the server offers it, the first page tells: one that does not know `after` refuses the
    call, for it has no offset, or answers without `data.next`. That page is then asked for anew.
    Only all groups, oldest first, can be had by offset: a server that does not know `after` knows
    no filters either, and would answer with groups that were not asked for.

    Args:
        page_size: How many groups a page holds, 1 to 1000.
        filters: Which groups, and in which order.
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

    def next_call(self) -> Call[GroupPage] | None:  # noqa: D102
        if self._is_done:
            return None
        if self._after is None:
            return list_groups(self._page_size, self._offset)
        may_be_plain = self._may_fall_back
        return page_behind(self._after, self._page_size, self._filters, may_be_plain=may_be_plain)

    def accept(self, page: GroupPage) -> Sequence[Group]:  # noqa: D102
        if isinstance(page, PageBehind):
            self._is_done = page.next is None or not page.groups
            self._after = page.next or ""
            return page.groups
        if self._after is not None:
            self._after = None  # which page this is, is not known for sure
            return ()
        self._offset += len(page.groups)
        self._is_done = not page.groups or self._offset >= page.total
        return page.groups

    def refused(self, error: WireError) -> bool:  # noqa: D102
        if self._may_fall_back and isinstance(error, _MISSING_OFFSET):
            self._after = None
            return True
        return False

    @property
    def _may_fall_back(self) -> bool:
        return self._after == "" and not self._filters.body()


class PhonePager(Pager[PhonePage, str]):
    """Pages through a group's numbers, in the order they were added.

    Args:
        group_id: The group.
        page_size: How many numbers a page holds, 1 to 10 000.
    """

    def __init__(self, group_id: str, page_size: int = limits.PHONES_IN_PAGE_MAX) -> None:
        _check_page_size(page_size, limits.PHONES_IN_PAGE_MAX)
        self._group_id = group_id
        self._page_size = page_size
        self._offset = 0
        self._is_done = False

    def next_call(self) -> Call[PhonePage] | None:  # noqa: D102
        if self._is_done:
            return None
        return list_phones(self._group_id, self._page_size, self._offset)

    def accept(self, page: PhonePage) -> Sequence[str]:  # noqa: D102
        self._offset += len(page.phones)
        self._is_done = not page.phones or self._offset >= page.total
        return page.phones


def _check_page_size(page_size: int, most: int) -> None:
    if not 1 <= page_size <= most:
        raise ValueError(f"page_size must be from 1 to {most}")
