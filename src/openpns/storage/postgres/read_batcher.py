"""Reads of one customer that take one round trip together: questions come with each call.

A round trip costs more CPU than the statement in it, on both sides. A read joins only a round trip
that begins after it has arrived, so it is never older than its caller. Customers do not wait for
each other's reads.

Source: docs/decisions/0055-binds-and-questions-share-round-trips.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from openpns.errors import InternalError
from openpns.kit.in_flight import Batch, copy_error, settle
from openpns.kit.turns import OwnerCounts
from openpns.storage.store import Params, Row

_IN_FLIGHT_MAX: Final = 2
"""The rows of one round trip are read here while the database works on the next."""

_READS_MAX: Final = 32

_Rows: TypeAlias = Sequence[Row]
_Read: TypeAlias = "tuple[Params, asyncio.Future[_Rows]]"


class ReadBatcher:
    """Runs reads with the same statement and customer together.

    Args:
        read: Reads with a statement's name, the customer and several parameters; returns the rows
            of each.
        counts: Bounds how many reads of a customer wait.
    """

    def __init__(
        self,
        read: Callable[[str, str, Sequence[Params]], Awaitable[Sequence[_Rows]]],
        counts: OwnerCounts,
    ) -> None:
        self._read = read
        self._counts = counts
        self._batches: dict[tuple[str, str], Batch[Any]] = {}

    async def fetch(self, name: str, customer_id: str, params: Params) -> _Rows:
        """Return the rows of a read.

        Raises:
            WireError: It cannot be read. Overloaded if too many reads of the customer wait.
        """
        self._counts.enter(customer_id)
        try:
            return await self._add(name, customer_id, params)
        finally:
            self._counts.leave(customer_id)

    def _add(self, name: str, customer_id: str, params: Params) -> "asyncio.Future[_Rows]":
        key = name, customer_id
        batch = self._batches.get(key)
        if batch is None:
            batch = self._batches[key] = Batch(
                lambda reads: self._run(name, customer_id, reads),
                _READS_MAX,
                _IN_FLIGHT_MAX,
                lambda: self._batches.pop(key),
            )
        future: asyncio.Future[_Rows] = asyncio.get_running_loop().create_future()
        batch.add((params, future))
        return future

    async def _run(self, name: str, customer_id: str, reads: Sequence[_Read]) -> None:
        try:
            found = await self._read(name, customer_id, [params for params, _ in reads])
        except BaseException as error:  # noqa: BLE001 - raised to each caller
            if isinstance(error, InternalError) and len(reads) > 1:
                for read in reads:  # the database refuses one of them
                    await self._run(name, customer_id, [read])
                return
            for _, future in reads:
                settle(future, error=copy_error(error))
            return
        for (_, future), rows in zip(reads, found, strict=True):
            settle(future, rows)
