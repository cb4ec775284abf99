"""Short forms of the number group actions, for tests."""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from openpns.bindings.group_guard import BoundGroupGuard
from openpns.core.context import Context, RequestFacts
from openpns.groups import listing, service
from openpns.groups.pages import FoundGroups
from openpns.groups.wire import ADD, DELETE, REPLACE

Rows: TypeAlias = list[tuple[Any, ...]]
Ids: TypeAlias = list[str]

GUARD = BoundGroupGuard()


def phone(number: int) -> str:
    """Return one of many phone numbers."""
    return f"852{number:08}"


def joined(numbers: Iterable[int]) -> str:
    """Return phones as a request and a response write them."""
    return ",".join(phone(number) for number in numbers)


class Groups:
    """The number groups of one customer."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def bounded(self, **bounds: int) -> "Groups":
        """Return the same groups, on services with these bounds."""
        services = dataclasses.replace(self.context.services, **bounds)  # type: ignore[arg-type]
        return Groups(msgspec.structs.replace(self.context, services=services))

    def sent(self, **facts: Any) -> "Groups":
        """Return the same groups, for a request with these facts."""
        return Groups(msgspec.structs.replace(self.context, request=RequestFacts(**facts)))

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
            self.context,
            group_id=group_id,
            operate_type=operation,
            phones=joined(numbers),
            guard=GUARD,
        )

    async def change(self, group_id: str, **fields: Any) -> tuple[int, int, int, int] | None:
        """Send updateGroup with any fields; return the change that it reports."""
        done = await service.update_group(self.context, group_id=group_id, guard=GUARD, **fields)
        return None if done is None else (done.added, done.removed, done.unchanged, done.count)

    async def drop(self, group_id: str) -> None:
        await service.delete_group(self.context, group_id=group_id, guard=GUARD)

    async def list(self, limit: int = 0, offset: int | None = 0, **filters: Any) -> FoundGroups:
        return await listing.list_group(self.context, limit=limit, offset=offset, **filters)

    async def page(self, limit: int = 0, offset: int = 0) -> tuple[int, Rows]:
        """Return the total and the rows of a page, read to its end."""
        found = await self.list(limit, offset)
        groups = [*found.groups]
        if found.rest is not None:
            groups += [group async for chunk in found.rest for group in chunk]
        return found.total, [msgspec.structs.astuple(group) for group in groups]

    async def ids(self, limit: int = 0, offset: int = 0) -> Ids:
        return [row[2] for row in (await self.page(limit, offset))[1]]

    async def phones(self, group_id: str) -> str:
        """Return what listGroup shows of one group's phones."""
        (shown,) = [row[3] for row in (await self.page())[1] if row[2] == group_id]
        return str(shown)
