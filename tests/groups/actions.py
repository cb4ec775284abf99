"""The number group actions in short, so that a test reads as what it says."""

from collections.abc import Iterable
from typing import Any

from openpns.core.context import Context, RequestFacts
from openpns.groups import listing, service
from openpns.groups.listing import FoundGroups
from openpns.groups.wire import ADD, DELETE, REPLACE


def phone(number: int) -> str:
    """Return one of many phone numbers."""
    return f"852{number:08}"


def joined(numbers: Iterable[int]) -> str:
    """Return phone numbers as a request sends and gets them."""
    return ",".join(phone(number) for number in numbers)


class Groups:
    """The number groups of one customer."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def sent(self, **facts: Any) -> "Groups":
        """Return the same groups, as a request with these facts reaches them."""
        services, principal = self.context.services, self.context.principal
        return Groups(Context(services, principal, RequestFacts(**facts)))

    async def create(
        self, numbers: Iterable[int], name: str | None = None, remark: str | None = None
    ) -> str:
        created = await service.create_group(
            self.context, phones=joined(numbers), group_name=name, remark=remark
        )
        return created.group_id

    async def add(self, group_id: str, *numbers: int) -> None:
        await self._update(group_id, ADD, numbers)

    async def delete(self, group_id: str, *numbers: int) -> None:
        await self._update(group_id, DELETE, numbers)

    async def replace(self, group_id: str, *numbers: int) -> None:
        await self._update(group_id, REPLACE, numbers)

    async def _update(self, group_id: str, operation: int, numbers: Iterable[int]) -> None:
        await service.update_group(
            self.context, group_id=group_id, operate_type=operation, phones=joined(numbers)
        )

    async def change(self, group_id: str, **fields: Any) -> tuple[int, int, int, int] | None:
        """Call updateGroup with any fields; return what it says it did."""
        done = await service.update_group(self.context, group_id=group_id, **fields)
        return None if done is None else (done.added, done.removed, done.unchanged, done.count)

    async def drop(self, group_id: str) -> None:
        await service.delete_group(self.context, group_id=group_id)

    async def list(self, limit: int = 0, offset: int | None = 0, **filters: Any) -> FoundGroups:
        return await listing.list_group(self.context, limit=limit, offset=offset, **filters)

    async def page(self, limit: int = 0, offset: int = 0) -> tuple[int, list[tuple[Any, ...]]]:
        """Return the total and a page's rows, in whatever chunks they came."""
        found = await self.list(limit, offset)
        rows = [tuple(row) for row in found.rows]
        if found.rest is not None:
            rows += [tuple(row) async for chunk in found.rest for row in chunk]
        return found.total, rows

    async def ids(self, limit: int = 0, offset: int = 0) -> list[str]:
        return [row[2] for row in (await self.page(limit, offset))[1]]

    async def phones(self, group_id: str) -> str:
        """Return what listGroup shows of one group's phones."""
        (shown,) = [row[3] for row in (await self.page())[1] if row[2] == group_id]
        return str(shown)
