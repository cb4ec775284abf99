"""Reads by a value that says nothing of the customer, on Citus: the customer is found first.

A statement that does not name the customer would ask every shard. The customer of an access key
never changes, so it is read once for each key, and the statement then asks the shards of the
customers only.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from openpns.storage.statements import NamedStatement
from openpns.storage.store import Params

_OWNERS_MAX: Final = 100_000

_OWNER: Final = "customer_id"


class OwnedReads:
    """Finds rows by one value of a column each, in the shards of their customers.

    Args:
        read: Runs a statement.
        statement: Finds the rows; its parameter `customer_ids` are the customers of the values.
        owners: Finds the customer of each value.
        column: The parameter and the column of the values.
    """

    def __init__(
        self,
        read: Callable[[NamedStatement, Params], Awaitable[Sequence[Any]]],
        statement: NamedStatement,
        owners: NamedStatement,
        column: str,
    ) -> None:
        self._read = read
        self._statement = statement
        self._find_owners = owners
        self._column = column
        self._owners: dict[str, str] = {}

    async def read(self, values: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return the rows of values; a value without a row has none."""
        rows = await self._read_of_known(values)
        found = {row[self._column] for row in rows}
        missing = [value for value in values if value not in found]
        if not missing:
            return rows
        # New, or unknown; or a restored database has given it to another customer.
        owners = await self._read(self._find_owners, {self._column: missing})
        if len(self._owners) > _OWNERS_MAX:
            self._owners.clear()
        self._owners.update((row[self._column], row[_OWNER]) for row in owners)
        return [*rows, *await self._read_of_known([row[self._column] for row in owners])]

    async def _read_of_known(self, values: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        known = [value for value in values if value in self._owners]
        if not known:
            return []
        owners = list({self._owners[value] for value in known})
        return await self._read(self._statement, {self._column: known, "customer_ids": owners})
