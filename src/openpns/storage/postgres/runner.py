"""Run the steps of a transaction on a connection, in as few round trips as the server allows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from openpns.storage.statements import NamedStatement, combine
from openpns.storage.store import (
    Params,
    Row,
    Statement,
    StatementBatch,
    Step,
    names_of,
    statements_of,
)

_CHANGED: Final = ((True,),)
"""The rows of a statement that changed some and returned none, so that a batch sees the change."""


class Runner:
    """Runs steps; statements that are to run together are one statement of PostgreSQL.

    Args:
        statements: By name.
    """

    def __init__(self, statements: Mapping[str, NamedStatement]) -> None:
        self.statements = statements
        self._combined: dict[tuple[str, ...], NamedStatement] = {}

    async def fetch(self, connection: Any, name: str, params: Params) -> Sequence[Row]:
        """Run one statement."""
        statement = self.statements[name]
        rows = await connection.fetch(statement.sql, *arguments_of(statement, params))
        return cast("Sequence[Row]", rows)

    async def fetch_each(
        self, connection: Any, name: str, all_params: Sequence[Params]
    ) -> Sequence[Sequence[Row]]:
        """Run one statement with each of several parameters; return the rows of each."""
        statement = self.statements[name]
        arguments = [arguments_of(statement, params) for params in all_params]
        rows = await connection.fetchmany(self._combine((name,)).sql, arguments)
        return [_rows_of_each(row)[0] for row in rows]

    async def run_step(self, connection: Any, step: Step) -> Sequence[Row]:
        """Run a step; return what a transaction gets for it."""
        if isinstance(step, Statement):
            return await self.fetch(connection, step.name, step.params)
        if isinstance(step, StatementBatch):
            statement = self.statements[step.name]
            await connection.executemany(
                statement.sql, [arguments_of(statement, params) for params in step.params]
            )
            return []
        return await self._run_together(connection, step)

    async def run_wave(self, connection: Any, steps: Sequence[Step]) -> list[Sequence[Row]]:
        """Run steps of several writes; those with the same statements take one round trip."""
        found: list[Sequence[Row]] = [[]] * len(steps)
        alike: dict[tuple[str, ...], list[int]] = {}
        for place, step in enumerate(steps):
            if isinstance(step, StatementBatch):
                found[place] = await self.run_step(connection, step)
            else:
                alike.setdefault(names_of(step), []).append(place)
        for names, places in alike.items():
            arguments = [self._all_arguments(cast("Any", steps[place])) for place in places]
            rows = await connection.fetchmany(self._combine(names).sql, arguments)
            for place, row in zip(places, rows, strict=True):
                each = _rows_of_each(row)
                found[place] = each[0] if isinstance(steps[place], Statement) else each
        return found

    async def _run_together(self, connection: Any, step: Sequence[Statement]) -> Sequence[Any]:
        combined = self._combine(names_of(step))
        row = await connection.fetchrow(combined.sql, *self._all_arguments(step))
        return _rows_of_each(row)

    def _combine(self, names: tuple[str, ...]) -> NamedStatement:
        combined = self._combined.get(names)
        if combined is None:
            combined = combine([self.statements[name] for name in names])
            self._combined[names] = combined
        return combined

    def _all_arguments(self, step: Statement | Sequence[Statement]) -> list[Any]:
        return [
            argument
            for one in statements_of(step)
            for argument in arguments_of(self.statements[one.name], one.params)
        ]


class SeparateRunner(Runner):
    """Runs each statement by itself.

    For Citus: the coordinator cannot read the rows of `combine` from another node.
    """

    async def fetch_each(  # noqa: D102
        self, connection: Any, name: str, all_params: Sequence[Params]
    ) -> Sequence[Sequence[Row]]:
        return [await self.fetch(connection, name, params) for params in all_params]

    async def run_wave(  # noqa: D102
        self, connection: Any, steps: Sequence[Step]
    ) -> list[Sequence[Row]]:
        return [
            await self._run_one(connection, step)
            if isinstance(step, Statement)
            else await self.run_step(connection, step)
            for step in steps
        ]

    async def _run_together(self, connection: Any, step: Sequence[Statement]) -> Sequence[Any]:
        return [await self._run_one(connection, one) for one in step]

    async def _run_one(self, connection: Any, one: Statement) -> Sequence[Row]:
        statement = self.statements[one.name]
        if statement.has_rows:
            return await self.fetch(connection, one.name, one.params)
        await connection.execute(statement.sql, *arguments_of(statement, one.params))
        return _CHANGED


def arguments_of(statement: NamedStatement, params: Params) -> list[Any]:
    """Return the values of a statement's parameters, in its order."""
    return [params[name] for name in statement.parameters]


def _rows_of_each(row: Row) -> list[Sequence[Row]]:
    """Return the rows of each statement that `combine` has combined, or a row for a change."""
    return [_CHANGED if rows is True else rows or () for rows in row]
