"""Copy a database while servers write to it, and move them at a moment.

1. The source begins to note the key of each row that changes.
2. Each table is copied in pages. The rows of a page are read back and compared.
3. The rows whose keys were noted are copied again, in rounds, until few are left. At the end of a
   round the target is equal to a snapshot of the source; in one of them the rows are counted.
4. The source is frozen, the last round runs, and from then on the source refuses every write.

If all servers of the source are stopped, 2 is all that is needed.

What is done is stored in the target with the rows: a run goes on after the last page of the run
before.

Source: docs/decisions/0058-copies-of-databases.md.
"""

import asyncio
import contextlib
import secrets as random
from array import array
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from time import perf_counter
from typing import ClassVar, Final

import msgspec

from openpns.clock import Clock
from openpns.copying.ends import BEGIN_AGAIN, Ends, check_steps
from openpns.copying.rows import Columns, Secrets, added, digest_text, removed
from openpns.errors import OpenPNSError, ServiceUnavailable
from openpns.storage.copying import TABLES, Change, Conflict, Done, Row, Table, TableKey

_PAGE_ROWS: Final = 4000
_CHANGES_EACH: Final = 4000
_PAGES_EACH: Final = 10
"""Pages of a round; about a second."""
_FEW: Final = 200
"""Changes that the last round may have."""
WINDOW_S_MAX: Final = 60
"""How long the source may be frozen, also if the target does not answer any more."""

_SHORTER: Final = 0.7
"""A round brings another one if it had fewer changes than the one before, by this factor."""


class RowsDiffer(OpenPNSError):
    """The target does not have what was written to it, or what the source has."""

    exit_code: ClassVar[int] = 1


class CopiedTable(msgspec.Struct, frozen=True, rename="camel"):
    """A table of which every row was compared.

    Attributes:
        digest: Of all its rows, whatever their order.
    """

    rows: int
    digest: str


class Copied(msgspec.Struct, frozen=True, rename="camel"):
    """A copy that is complete.

    Attributes:
        copied_rows: How many rows this run has written before the window.
        window_ms: How long the source has taken no writes at most, before it was moved.
        window_changes: How many changes were copied in that time.
    """

    tables: Mapping[str, CopiedTable]
    rows: int
    copied_rows: int
    seconds: float
    window_ms: int
    window_changes: int


class Copy:
    """A run of a copy.

    Args:
        secrets: None if the target has the master key of the source.
        on_rows: Called with the number of rows that are done, and of all rows.
    """

    def __init__(
        self,
        ends: Ends,
        clock: Clock,
        secrets: Secrets | None = None,
        on_rows: Callable[[int, int], object] = lambda _done, _total: None,
    ) -> None:
        self._ends = ends
        self._source = ends.source
        self._target = ends.target
        self._clock = clock
        self._secrets = secrets
        self._on_rows = on_rows
        self._columns: dict[str, Columns] = {}
        self._done: dict[str, Done] = {}
        self._round_name = ends.round
        self._page_number = 0
        self._copied = 0
        self._shown = 0
        self._total = 0

    async def run(self) -> Copied:
        """Copy what is left, and move.

        Raises:
            RowsDiffer: Rows of the two databases are not the same.
            ConfigError: A database refuses something.
            ServiceUnavailable: A database cannot be reached or is busy. The same run can go on.
        """
        began_s = perf_counter()
        await self._prepare()
        window_s, changes = 0.0, 0
        await self._copy_pages()
        copied_s = perf_counter() - began_s
        if self._ends.is_moved:
            try:
                await self._compare_counts()
            except RowsDiffer as error:
                raise RowsDiffer(f"{error}; {BEGIN_AGAIN}") from None
        else:
            await self._catch_up()
            window_s, changes = await self._move()
        await self._target.finish(await self._source.record_id())
        tables = {
            name: CopiedTable(done.rows, digest_text(done.digest))
            for name, done in self._done.items()
        }
        return Copied(
            tables,
            sum(table.rows for table in tables.values()),
            self._copied,
            round(copied_s, 3),
            round(window_s * 1000),
            changes,
        )

    async def _prepare(self) -> None:
        stored = await self._target.progress()
        for table in TABLES:
            names = await self._source.columns(table.name)
            theirs = await self._target.columns(table.name)
            if {*names} != {*theirs}:
                raise RowsDiffer(f"table {table.name}: the databases have other columns")
            self._source.use_columns(table.name, names)
            self._target.use_columns(table.name, names)
            self._columns[table.name] = Columns(table, names, self._secrets)
            self._done[table.name] = stored.get(table.name) or Done()
        if not all(done.is_complete for done in self._done.values()):
            self._total = sum([await self._source.count(table.name) for table in TABLES])

    async def _copy_pages(self) -> None:
        for table in TABLES:
            done = self._done[table.name]
            self._copied_more(done.rows, is_new=False)
            if done.is_complete:
                continue
            async with contextlib.aclosing(self._pages(table, done.last_key)) as pages:
                async for rows in pages:
                    await self._copy_page(table, rows)
            done = self._done[table.name]
            done.is_complete = True
            async with self._target.transaction():
                await self._target.save(table.name, done)
        if self._copied:
            await self._target.tidy()

    async def _pages(
        self, table: Table, after: TableKey | None
    ) -> AsyncGenerator[Sequence[Row], None]:
        """Read pages, each while the one before is written."""
        columns = self._columns[table.name]
        page = await self._source.page(table, after, _PAGE_ROWS)
        while page:
            ahead = None
            if len(page) == _PAGE_ROWS:
                reading = self._source.page(table, columns.key_of(page[-1]), _PAGE_ROWS)
                ahead = asyncio.ensure_future(reading)
            try:
                yield page
                page = await ahead if ahead is not None else ()
            finally:
                if ahead is not None and not ahead.done():
                    ahead.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await ahead

    async def _copy_page(self, table: Table, rows: Sequence[Row]) -> None:
        if not self._ends.is_moved and self._page_number % _PAGES_EACH == 0:
            await self._enter_round()
        self._page_number += 1
        columns = self._columns[table.name]
        last_key = columns.key_of(rows[-1])
        keys = [columns.key_of(row) for row in rows]
        parents = await self._missing_parents(table, rows)
        try:
            async with self._target.transaction():
                await self._add_parents(parents)
                await self._write_page(table, keys, rows, last_key, is_new=True)
        except Conflict:
            # A row of an earlier page has changed since, and another row has its value now.
            async with self._target.transaction():
                await self._add_parents(parents)
                await self._write_page(table, keys, rows, last_key, is_new=False)
        self._copied_more(len(rows))

    async def _write_page(
        self,
        table: Table,
        keys: Sequence[TableKey],
        rows: Sequence[Row],
        last_key: TableKey,
        *,
        is_new: bool,
    ) -> None:
        done = await self._equalise(table, keys, rows, is_new=is_new)
        done.last_key = last_key
        await self._target.save(table.name, done)
        self._done[table.name] = done

    async def _missing_parents(self, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the customers of rows that were created after their own page was read."""
        if not table.has_parent:
            return ()
        place = self._columns[table.name].names.index("customer_id")
        ids = [(customer_id,) for customer_id in {row[place] for row in rows}]
        customers, columns = TABLES[0], self._columns[TABLES[0].name]
        there = {columns.key_of(row) for row in await self._target.rows(customers, ids)}
        missing = [key for key in ids if key not in there]
        return await self._source.rows(customers, missing) if missing else ()

    async def _add_parents(self, rows: Sequence[Row]) -> None:
        if rows:
            customers = TABLES[0]
            keys = [self._columns[customers.name].key_of(row) for row in rows]
            done = await self._equalise(customers, keys, rows, is_new=False)
            await self._target.save(customers.name, done)
            self._done[customers.name] = done

    async def _catch_up(self) -> None:
        """Copy what has changed until little is left, and count all rows once."""
        for is_counted in (False, True):
            before, changes = 0, await self._round(is_counted=is_counted)
            # While rounds get shorter: servers may write as fast as changes are copied.
            while changes > _FEW and (not before or changes < before * _SHORTER):
                before, changes = changes, await self._round(is_counted=False)

    async def _round(self, *, is_counted: bool) -> int:
        """Copy all changes that a snapshot has; return how many.

        Args:
            is_counted: Compare the numbers of rows, too: a row that the source does not have would
                be found by nothing else.
        """
        await self._enter_round()
        async with self._source.snapshot():
            places = await self._apply_all()
            if is_counted:
                await self._compare_counts()
        if places:
            await self._source.forget(places)
        return len(places)

    async def _move(self) -> tuple[float, int]:
        """Freeze the source, copy what has changed, and let it refuse writes from then on.

        Returns:
            How many seconds that took at most, and how many changes there were.
        """
        await self._enter_round()
        began_s = perf_counter()
        async with self._source.freeze():
            try:
                async with asyncio.timeout(WINDOW_S_MAX):
                    await check_steps(self._source, self._target)
                    places = await self._apply_all()
            except TimeoutError:
                raise ServiceUnavailable(
                    f"what has changed could not be copied within {WINDOW_S_MAX} s, so servers can "
                    "write to the source again; run the command again when they write less"
                ) from None
            await self._source.move(self._ends.copy_id, self._clock())
        return perf_counter() - began_s, len(places)

    async def _enter_round(self) -> None:
        """Let both databases know of a new round before the target gets what the source has in it.

        So a source that is restored to a state from before is refused: it would lack notes of
        changes that the target has.
        """
        name = random.token_hex(8)
        await self._target.save_rounds((self._round_name, name))
        await self._source.enter_round(name)
        await self._target.save_rounds((name,))
        self._round_name = name

    async def _apply_all(self) -> "array[int]":
        """Copy all changes that the source shows now; return their places."""
        places = array("q")
        while changes := await self._source.changes(places[-1] if places else 0, _CHANGES_EACH):
            await self._apply(changes)
            places.extend(change.place for change in changes)
        return places

    async def _apply(self, changes: Sequence[Change]) -> None:
        """Give the target the rows that the source has now under the keys of changes."""
        keys: dict[str, dict[TableKey, None]] = {}
        for change in changes:
            keys.setdefault(change.table, {})[change.key] = None
        if not keys:
            return
        async with self._target.transaction():
            for table in TABLES:
                if chosen := [*keys.get(table.name, ())]:
                    rows = await self._source.rows(table, chosen)
                    done = await self._equalise(table, chosen, rows, is_new=False)
                    await self._target.save(table.name, done)
                    self._done[table.name] = done

    async def _equalise(
        self, table: Table, keys: Sequence[TableKey], rows: Sequence[Row], *, is_new: bool
    ) -> Done:
        """Give the target exactly these rows under these keys, and compare them; return the state.

        Args:
            is_new: The target has no row with any of the keys.
        """
        columns, target = self._columns[table.name], self._target
        before = self._done[table.name]
        done = Done(before.last_key, before.is_complete, before.rows, before.digest)
        wanted = {columns.key_of(row): columns.of_source(row) for row in rows}
        old: dict[TableKey, Row] = {}
        if is_new:
            await target.insert(table, [columns.to_target(row) for row in rows])
        else:
            there = await target.rows(table, keys)
            old = {columns.key_of(row): columns.of_target(row) for row in there}
            if gone := [key for key in old if key not in wanted]:
                await target.delete(table, gone)
            different = [
                columns.to_target(row)
                for row in rows
                if old.get(key := columns.key_of(row)) != wanted[key]
            ]
            if different:
                for row in await target.replace(table, different):
                    if (key := columns.key_of(row)) not in old:
                        done.rows -= 1
                        done.digest = removed(done.digest, columns.of_target(row))
        there = await target.rows(table, keys)
        found = {columns.key_of(row): columns.of_target(row) for row in there}
        if found != wanted:
            self._refuse(columns, found, wanted)
        for row in old.values():
            done.digest = removed(done.digest, row)
        for row in wanted.values():
            done.digest = added(done.digest, row)
        done.rows += len(wanted) - len(old)
        return done

    def _refuse(
        self, columns: Columns, found: Mapping[TableKey, Row], wanted: Mapping[TableKey, Row]
    ) -> None:
        differing = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        raise RowsDiffer(
            f"table {columns.table.name}: the row with the key "
            f"({columns.text_of(differing[0])}) is not the same in both databases"
            + (f" (and {len(differing) - 1} more)" if len(differing) > 1 else "")
        )

    async def _compare_counts(self) -> None:
        for table in TABLES:
            have = await self._source.count(table.name)
            there = await self._target.count(table.name)
            if not have == there == self._done[table.name].rows:
                raise RowsDiffer(
                    f"table {table.name}: the source has {have} rows, the target {there}, of which "
                    f"{self._done[table.name].rows} were compared"
                )

    def _copied_more(self, rows: int, *, is_new: bool = True) -> None:
        self._shown += rows
        if is_new:
            self._copied += rows
        self._on_rows(self._shown, self._total)
