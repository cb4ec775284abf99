"""The methods of both clients for number groups: one for each request, and those that send several.

No frame here has phone numbers in a variable while a request is sent: error trackers store
tracebacks with all variables.
"""

import functools
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, get_args, overload

from openpns import limits
from openpns.client import group_requests
from openpns.client.group_types import Filters, Group, Order, Phones
from openpns.client.pages import GroupPager, ItemT, Pager, PageT, PhonePager
from openpns.client.requests import Request
from openpns.errors import WireError
from openpns.groups.wire import GroupChange

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")


class _Method(Generic[ParamsT, ResultT]):
    """A function that returns a request, as a method that also sends it: sync or async."""

    def __init__(self, make: Callable[ParamsT, Request[ResultT]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__
        # What help() and editors show: what the method returns, not the request.
        signature = inspect.signature(make)
        (result,) = get_args(signature.return_annotation)
        self._signature = signature.replace(return_annotation=result)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, groups: "Groups", owner: Any = None) -> Callable[ParamsT, ResultT]: ...

    @overload
    def __get__(
        self, groups: "AsyncGroups", owner: Any = None
    ) -> Callable[ParamsT, Coroutine[Any, Any, ResultT]]: ...

    @overload
    def __get__(self, groups: None, owner: Any = None) -> Self: ...

    def __get__(self, groups: Any, owner: Any = None) -> Any:
        if groups is None:
            return self

        @functools.wraps(self._make)
        def send(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> Any:
            request = self._make(*args, **kwargs)
            del args, kwargs
            return groups.client.send(request)

        send.__name__ = self._name
        send.__qualname__ = f"{type(groups).__name__}.{self._name}"
        send.__signature__ = self._signature  # type: ignore[attr-defined]
        return send


class Transport(Protocol):
    """What the methods of a sync client send requests with."""

    def send(self, request: Request[ResultT]) -> ResultT:
        """Send a request; return its result."""
        ...


class AsyncTransport(Protocol):
    """See `Transport`."""

    async def send(self, request: Request[ResultT]) -> ResultT:
        """Send a request; return its result."""
        ...


class _GroupMethods:
    """The methods that send one request, the same for both clients."""

    list = _Method(group_requests.list_groups)
    find = _Method(group_requests.find_groups)
    get = _Method(group_requests.get_group)
    create = _Method(group_requests.create_group)
    add_phones = _Method(group_requests.add_phones)
    remove_phones = _Method(group_requests.remove_phones)
    replace_phones = _Method(group_requests.replace_phones)
    rename = _Method(group_requests.rename_group)
    delete = _Method(group_requests.delete_group)


class Groups(_GroupMethods):
    """The number groups of a `Client`."""

    def __init__(self, client: Transport) -> None:
        self.client = client

    def iterate(
        self,
        page_size: int = limits.GROUPS_IN_PAGE_MAX,
        *,
        phone: str | None = None,
        name: str | None = None,
        group_id: str | None = None,
        order: Order | None = None,
    ) -> Iterator[Group]:
        """Return every group, or those that `find` returns, page by page.

        On openpns no group is skipped or returned twice, whatever is created or deleted during
        the iteration; in the order "name", except for groups that are renamed. Another server is
        paged by offset: if a group is deleted during the iteration, a later one may be skipped.

        Args:
            page_size: How many groups a page holds, 1 to 1000.
            phone: As for `find`, an extension, like all that follow.

        Raises:
            ValueError: page_size is outside its range.
        """
        return self._pages(GroupPager(page_size, Filters(phone, name, group_id, order)))

    def phones(self, group_id: str, page_size: int = limits.PHONES_IN_PAGE_MAX) -> Iterator[str]:
        """Return a group's phones in the order they were added, page by page.

        An extension of openpns. If a phone is removed during the iteration, a later one may be
        skipped.

        Raises:
            ValueError: page_size is not from 1 to 10 000.
        """
        return self._pages(PhonePager(group_id, page_size))

    def change(
        self,
        group_id: str,
        *,
        add: Phones | None = None,
        remove: Phones | None = None,
        replace: Phones | None = None,
        dry_run: bool = False,
    ) -> GroupChange:
        """Add, remove or replace a group's phones; return what the change did.

        An extension of openpns. A dry run returns what the change would do. It first sends a
        listGroupPhones, which only openpns answers: another server would carry the change out.

        Raises:
            ValueError: Not exactly one of add, remove and replace is given.
            GroupNotFound: There is no such group.
            ParameterError: A phone number is not allowed, or the server does not know dry runs.
            GroupFull: The group would hold more phone numbers than it may; nothing was changed.
            AnswerUnreadable: The server did not say what the change did; it was carried out.
        """
        request = group_requests.change_phones(
            group_id, add=add, remove=remove, replace=replace, dry_run=dry_run
        )
        del add, remove, replace
        if dry_run:
            self.client.send(group_requests.list_phones(group_id, limit=1))
        return self.client.send(request)

    def _pages(self, pager: Pager[PageT, ItemT]) -> Iterator[ItemT]:
        while request := pager.next_request():
            yield from self._page(pager, request)

    def _page(self, pager: Pager[PageT, ItemT], request: Request[PageT]) -> Sequence[ItemT]:
        try:
            page = self.client.send(request)
        except WireError as error:
            if pager.can_fall_back(error):
                return ()
            raise
        return pager.accept(page)


class AsyncGroups(_GroupMethods):
    """The number groups of an `AsyncClient`."""

    def __init__(self, client: AsyncTransport) -> None:
        self.client = client

    def iterate(
        self,
        page_size: int = limits.GROUPS_IN_PAGE_MAX,
        *,
        phone: str | None = None,
        name: str | None = None,
        group_id: str | None = None,
        order: Order | None = None,
    ) -> AsyncGenerator[Group, None]:
        """Return every group, or those that `find` returns, page by page; see `Groups.iterate`."""
        return self._pages(GroupPager(page_size, Filters(phone, name, group_id, order)))

    def phones(
        self, group_id: str, page_size: int = limits.PHONES_IN_PAGE_MAX
    ) -> AsyncGenerator[str, None]:
        """Return a group's phones in the order they were added; see `Groups.phones`."""
        return self._pages(PhonePager(group_id, page_size))

    async def change(
        self,
        group_id: str,
        *,
        add: Phones | None = None,
        remove: Phones | None = None,
        replace: Phones | None = None,
        dry_run: bool = False,
    ) -> GroupChange:
        """Add, remove or replace a group's phones; see `Groups.change`."""
        request = group_requests.change_phones(
            group_id, add=add, remove=remove, replace=replace, dry_run=dry_run
        )
        del add, remove, replace
        if dry_run:
            await self.client.send(group_requests.list_phones(group_id, limit=1))
        return await self.client.send(request)

    async def _pages(self, pager: Pager[PageT, ItemT]) -> AsyncGenerator[ItemT, None]:
        while request := pager.next_request():
            items = deque(await self._page(pager, request))
            while items:
                yield items.popleft()

    async def _page(self, pager: Pager[PageT, ItemT], request: Request[PageT]) -> Sequence[ItemT]:
        try:
            page = await self.client.send(request)
        except WireError as error:
            if pager.can_fall_back(error):
                return ()
            raise
        return pager.accept(page)
