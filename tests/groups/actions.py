"""The number group actions in short, so that a test reads as what it says."""

from collections.abc import Iterable
from typing import Any

from openpns.core.context import Caller, Services
from openpns.groups import listing, service, update
from openpns.groups.wire import (
    ADD,
    DELETE,
    REPLACE,
    CreateGroup,
    DeleteGroup,
    ListGroup,
    UpdateGroup,
)


def phone(number: int) -> str:
    """Return one of many phone numbers."""
    return f"852{number:08}"


def joined(numbers: Iterable[int]) -> str:
    """Return phone numbers as a caller sends and gets them."""
    return ",".join(phone(number) for number in numbers)


class Groups:
    """The number groups of one customer."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self.services = services
        self.caller = caller

    async def create(
        self, numbers: Iterable[int], name: str | None = None, remark: str | None = None
    ) -> str:
        request = CreateGroup(joined(numbers), name, remark)
        return (await service.create(self.services, self.caller, request)).groupId

    async def add(self, group_id: str, *numbers: int) -> None:
        await self._update(group_id, ADD, numbers)

    async def delete(self, group_id: str, *numbers: int) -> None:
        await self._update(group_id, DELETE, numbers)

    async def replace(self, group_id: str, *numbers: int) -> None:
        await self._update(group_id, REPLACE, numbers)

    async def _update(self, group_id: str, operation: int, numbers: Iterable[int]) -> None:
        request = UpdateGroup(group_id, operation, joined(numbers))
        await update.update(self.services, self.caller, request)

    async def change(self, group_id: str, **fields: Any) -> tuple[int, int, int, int] | None:
        """Send updateGroup with any fields; return what it says it did."""
        request = UpdateGroup(group_id, **fields)
        done = await update.update(self.services, self.caller, request)
        return None if done is None else (done.added, done.removed, done.unchanged, done.count)

    async def drop(self, group_id: str) -> None:
        await service.delete(self.services, self.caller, DeleteGroup(group_id))

    async def page(self, limit: int = 0, offset: int = 0) -> tuple[int, list[tuple[Any, ...]]]:
        """Return the total and a page's rows, in whatever pieces they came."""
        listed = await listing.list(self.services, self.caller, ListGroup(limit, offset))
        rows = [tuple(row) for row in listed.rows]
        if listed.rest is not None:
            rows += [tuple(row) async for piece in listed.rest for row in piece]
        return listed.total, rows

    async def ids(self, limit: int = 0, offset: int = 0) -> list[str]:
        return [row[2] for row in (await self.page(limit, offset))[1]]

    async def phones(self, group_id: str) -> str:
        """Return what listGroup shows of one group's numbers."""
        (shown,) = [row[3] for row in (await self.page())[1] if row[2] == group_id]
        return str(shown)
