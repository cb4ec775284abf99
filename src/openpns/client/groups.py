"""The methods of both clients for number groups: one for each request, and those that send several.

No frame here has phone numbers in a variable while a request is sent: error trackers store
tracebacks with all variables.
"""

from collections.abc import AsyncGenerator, Iterator

from openpns import limits
from openpns.client import group_requests
from openpns.client.group_types import Filters, Group, Order, Phones
from openpns.client.methods import AsyncMethods, Method, SyncMethods
from openpns.client.pages import GroupPager, PhonePager
from openpns.groups.wire import GroupChange


class _GroupMethods:
    """The methods that send one request, the same for both clients."""

    list = Method(group_requests.list_groups)
    find = Method(group_requests.find_groups)
    get = Method(group_requests.get_group)
    create = Method(group_requests.create_group)
    add_phones = Method(group_requests.add_phones)
    remove_phones = Method(group_requests.remove_phones)
    replace_phones = Method(group_requests.replace_phones)
    rename = Method(group_requests.rename_group)
    delete = Method(group_requests.delete_group)


class Groups(_GroupMethods, SyncMethods):
    """The number groups of a `Client`."""

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


class AsyncGroups(_GroupMethods, AsyncMethods):
    """The number groups of an `AsyncClient`."""

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
