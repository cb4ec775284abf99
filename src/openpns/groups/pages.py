"""Pages of groups: what a statement finds, at once or in slices from one snapshot.

Source: docs/decisions/0007-large-pages-in-slices.md.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.core.context import Context
from openpns.errors import InternalError
from openpns.groups import phone_chunks
from openpns.groups.wire import Group
from openpns.storage.store import Params, Row

PHONES_IN_CHUNKED_PAGE_MIN: Final = 65_536
"""A page that may hold more phones than this, about 1 MiB of text, is read and sent in slices."""

GROUPS_IN_SLICE: Final = 8

_OFFSET_MAX: Final = 2**62
"""More groups than a customer can have; sums with it do not overflow."""


class FoundGroups:
    """A page of groups: its first groups and, for a large page, the rest of them.

    Args:
        revision: The revision of the customer's groups that the page was read at.
        total: How many groups match; of a search, at most `FOUND_GROUPS_MAX`.
        rest: The other groups of the page, from the same snapshot; None if there are none.
        next: `data.next`; known only once `rest` was read to its end.
        total_is_bounded: Whether more groups match than `total` says.
    """

    def __init__(
        self,
        revision: int,
        total: int,
        groups: list[Group],
        rest: AsyncGenerator[list[Group], None] | None = None,
        next: str | UnsetType | None = UNSET,  # noqa: A002 - the field's name
        *,
        total_is_bounded: bool = False,
    ) -> None:
        self.revision = revision
        self.total = total
        self.groups = groups
        self.rest = rest
        self.next = next
        self.total_is_bounded = total_is_bounded

    @property
    def is_whole(self) -> bool:
        """Whether no group was read without its phones because it has many."""
        return all(group.phones is not None for group in self.groups)


def page_params(context: Context, limit: int, offset: int | None) -> dict[str, Any]:
    """Return the parameters of every statement that returns a page."""
    return {
        "customer_id": context.customer_id,
        "limit": limit,
        "offset": min(offset or 0, _OFFSET_MAX),
        "phones_max": PHONES_IN_CHUNKED_PAGE_MIN // limit,
        "phones_in_chunk": phone_chunks.PHONES_IN_CHUNK,
    }


async def fetch_page(context: Context, statement: str, params: Params) -> FoundGroups:
    """Read a page at once; groups with more than `phones_max` phones are read without them.

    If there are more than `total_max` groups, the total is this bound.
    """
    async with context.read_turn(params["limit"]):
        rows = await context.store.fetch(statement, params)
    return _read_page(rows, params.get("total_max"))


async def stream_page(context: Context, statement: str, params: Params) -> FoundGroups:
    """Read a page with all phones, in slices from one snapshot."""
    slices = context.store.stream(
        statement, {**params, "phones_max": limits.OFFSET_MAX}, GROUPS_IN_SLICE
    )
    found = _read_page(await anext(slices, []), params.get("total_max"))
    found.rest = _read_rest(slices)
    return found


async def _read_rest(
    slices: AsyncGenerator[Sequence[Row], None],
) -> AsyncGenerator[list[Group], None]:
    async with aclosing(slices):
        async for rows in slices:
            yield _groups_in(rows)


def _read_page(rows: Sequence[Row], total_max: int | None) -> FoundGroups:
    if not rows:
        # Every customer has a row of state: no row at all means that the customer is missing.
        raise InternalError
    revision, total, *_ = rows[0]
    groups = _groups_in(rows)
    if total_max is None or total <= total_max:
        return FoundGroups(revision, total, groups)
    return FoundGroups(revision, total_max, groups, total_is_bounded=True)


def _groups_in(rows: Sequence[Row]) -> list[Group]:
    """Return the groups of rows; the only row of an empty page has no group."""
    groups = [Group(*columns) for _revision, _total, *columns in rows]
    return groups if groups[0].group_id is not None else []
