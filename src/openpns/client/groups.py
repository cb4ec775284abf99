"""The methods of both clients for number groups: one per call, and those that make several."""

import functools
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, get_args, overload

from openpns import limits
from openpns.client import extension_calls, requests
from openpns.client.extension_calls import Filters, GroupChange, Order
from openpns.client.pages import GroupPager, ItemT, Pager, PageT, PhonePager
from openpns.client.requests import Call, Group, Phones
from openpns.errors import WireError

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")


class _Method(Generic[ParamsT, ResultT]):
    """A function that makes a call, as a method that also sends it: sync or async."""

    def __init__(self, make: Callable[ParamsT, Call[ResultT]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__
        # What help() and editors show: what the method returns, not the call that it makes.
        signature = inspect.signature(make)
        (result,) = get_args(signature.return_annotation)
        self._signature = signature.replace(return_annotation=result)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, api: "Groups", owner: Any = None) -> Callable[ParamsT, ResultT]: ...

    @overload
    def __get__(
        self, api: "AsyncGroups", owner: Any = None
    ) -> Callable[ParamsT, Coroutine[Any, Any, ResultT]]: ...

    @overload
    def __get__(self, api: None, owner: Any = None) -> Self: ...

    def __get__(self, api: Any, owner: Any = None) -> Any:
        if api is None:
            return self

        @functools.wraps(self._make)
        def send(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> Any:
            call = self._make(*args, **kwargs)
            del args, kwargs  # phone numbers, which no traceback should hold
            return api.client.call(call)

        send.__name__ = self._name
        send.__qualname__ = f"{type(api).__name__}.{self._name}"
        send.__signature__ = self._signature  # type: ignore[attr-defined]
        return send


class Caller(Protocol):
    """What carries out a call."""

    def call(self, call: Call[ResultT]) -> ResultT:
        """Carry out a call.

        Args:
            call: What to call.
        """
        ...


class AsyncCaller(Protocol):
    """What carries out a call, for async code."""

    async def call(self, call: Call[ResultT]) -> ResultT:
        """Carry out a call.

        Args:
            call: What to call.
        """
        ...


class _GroupMethods:
    """Number groups: one method per call, the same for both clients."""

    list = _Method(requests.list_groups)
    find = _Method(extension_calls.find_groups)
    get = _Method(extension_calls.get_group)
    create = _Method(requests.create_group)
    add_phones = _Method(requests.add_phones)
    remove_phones = _Method(requests.remove_phones)
    replace_phones = _Method(requests.replace_phones)
    rename = _Method(extension_calls.rename_group)
    delete = _Method(requests.delete_group)


class Groups(_GroupMethods):
    """The number groups of a `Client`."""

    def __init__(self, client: Caller) -> None:
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
        """Return every group, or those that `find` would, page by page.

        On openpns no group that stays is skipped or comes twice, whatever is created or deleted
        meanwhile. In the order "name" this is not so for one that is renamed meanwhile. From
        another server groups come by offset: one that is deleted meanwhile shifts the later ones to
        the front, so that some may be missed.

        Args:
            page_size: How many groups a page holds, 1 to 1000.
            phone: Only groups that hold this number; this and what follows only openpns knows.
            name: Only groups whose name begins so, in upper or lower case.
            group_id: Only the group with this id.
            order: "oldest" (where None), "newest" or "name".

        Raises:
            ValueError: page_size is outside its range.
        """
        filters = Filters(phone, name, group_id, order)
        return self._pages(GroupPager(page_size, filters))

    def phones(self, group_id: str, page_size: int = limits.PHONES_IN_PAGE_MAX) -> Iterator[str]:
        """Return a group's numbers in the order they were added, page by page.

        An extension of openpns. A number that is taken out meanwhile shifts the later ones to the
        front, so that some may be missed.

        Args:
            group_id: The group.
            page_size: How many numbers a page holds, 1 to 10 000.

        Raises:
            ValueError: page_size is outside its range.
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
        """Change a group's numbers, and return what the change did. An extension of openpns.

        A dry run first asks for something that only a server answers that knows dry runs: another
        server would carry the change out.

        Args:
            group_id: The group.
            add: Numbers to add; exactly one of this and the next two must be given.
            remove: Numbers to take out.
            replace: Numbers to put in the place of all.
            dry_run: Return what the change would do, and change nothing.

        Raises:
            ValueError: Not exactly one of add, remove and replace is given.
            GroupNotFound: There is no such group.
            ParameterError: A number is not allowed, or the server does not know dry runs.
            GroupFull: The group would hold more numbers than it may; nothing was changed.
            AnswerUnreadable: The server does not tell what a change did; it was carried out.
        """
        call = extension_calls.change_phones(
            group_id, add=add, remove=remove, replace=replace, dry_run=dry_run
        )
        del add, remove, replace  # which no traceback should hold
        if dry_run:
            self.client.call(extension_calls.list_phones(group_id, limit=1))
        return self.client.call(call)

    def _pages(self, pager: Pager[PageT, ItemT]) -> Iterator[ItemT]:
        while call := pager.next_call():
            yield from self._page(pager, call)

    def _page(self, pager: Pager[PageT, ItemT], call: Call[PageT]) -> Sequence[ItemT]:
        try:
            page = self.client.call(call)
        except WireError as error:
            if pager.refused(error):
                return ()
            raise
        return pager.accept(page)


class AsyncGroups(_GroupMethods):
    """The number groups of an `AsyncClient`."""

    def __init__(self, client: AsyncCaller) -> None:
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
        """Return every group, or those that `find` would, page by page; see `Groups.iterate`.

        Args:
            page_size: How many groups a page holds, 1 to 1000.
            phone: Only groups that hold this number; this and what follows only openpns knows.
            name: Only groups whose name begins so, in upper or lower case.
            group_id: Only the group with this id.
            order: "oldest" (where None), "newest" or "name".

        Raises:
            ValueError: page_size is outside its range.
        """
        filters = Filters(phone, name, group_id, order)
        return self._pages(GroupPager(page_size, filters))

    def phones(
        self, group_id: str, page_size: int = limits.PHONES_IN_PAGE_MAX
    ) -> AsyncGenerator[str, None]:
        """Return a group's numbers in the order they were added; see `Groups.phones`.

        Args:
            group_id: The group.
            page_size: How many numbers a page holds, 1 to 10 000.

        Raises:
            ValueError: page_size is outside its range.
        """
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
        """Change a group's numbers, and return what the change did; see `Groups.change`.

        Args:
            group_id: The group.
            add: Numbers to add; exactly one of this and the next two must be given.
            remove: Numbers to take out.
            replace: Numbers to put in the place of all.
            dry_run: Return what the change would do, and change nothing.
        """
        call = extension_calls.change_phones(
            group_id, add=add, remove=remove, replace=replace, dry_run=dry_run
        )
        del add, remove, replace  # which no traceback should hold
        if dry_run:
            await self.client.call(extension_calls.list_phones(group_id, limit=1))
        return await self.client.call(call)

    async def _pages(self, pager: Pager[PageT, ItemT]) -> AsyncGenerator[ItemT, None]:
        while call := pager.next_call():
            items = deque(await self._page(pager, call))
            while items:
                yield items.popleft()  # no variable keeps it, and no traceback after

    async def _page(self, pager: Pager[PageT, ItemT], call: Call[PageT]) -> Sequence[ItemT]:
        try:
            page = await self.client.call(call)
        except WireError as error:
            if pager.refused(error):
                return ()
            raise
        return pager.accept(page)
