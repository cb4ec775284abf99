"""The interface between rules and a database: named statements and transactions.

A write is a generator function: it yields statements, receives their rows and may raise. It does
no I/O, so the same steps run on every engine, in one transaction. The engine may run several
writes in one transaction; each is written completely or not at all.
"""

import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import msgspec

from openpns.errors import ConfigError, ReadFailed
from openpns.storage.bounds import StorageSizes, StorageUsage

if TYPE_CHECKING:
    from openpns.storage.migrations import Applied, Migration
    from openpns.storage.schema import Differences

Row: TypeAlias = Sequence[Any]
NamedRow: TypeAlias = Mapping[str, Any]
"""A row whose columns are found by name."""
Params: TypeAlias = Mapping[str, Any]

ResultT = TypeVar("ResultT")
StructT = TypeVar("StructT", bound=msgspec.Struct)


class Statement(msgspec.Struct, frozen=True):
    """One step of a write: a named statement with its parameters."""

    name: str
    params: Params

    def __repr__(self) -> str:  # without the parameters: they may be phone numbers
        return f"Statement({self.name!r})"


class StatementBatch(msgspec.Struct, frozen=True):
    """One step of a write: a named statement run for each set of parameters; returns no rows."""

    name: str
    params: Sequence[Params]

    def __repr__(self) -> str:
        return f"StatementBatch({self.name!r}, {len(self.params)} times)"


Step: TypeAlias = Statement | Sequence[Statement] | StatementBatch
"""What a write yields. Several statements at once take one round trip; it gets the rows of each.

They run in their order, on one snapshot or on several: none may read or change a row that one
before it changes. Those that return no rows may run after the others.
"""

Transaction: TypeAlias = Generator[Step, Sequence[Row], ResultT]
"""A write: what it yields is run, what it returns is the write's result."""


class BatchKey(msgspec.Struct, frozen=True):
    """Which writes may share a transaction.

    Attributes:
        kind: Writes with the same kind may run in lockstep: the first step of all, then the
            second. The first step runs the same statements for all of them. It locks the resource,
            or a row that all of the kind share. Any other row that they change is the resource's
            own or a count.
        resources: Writes that have one in common run one after the other.
    """

    kind: str
    resources: tuple[str, ...]

    def __repr__(self) -> str:  # resources may be phones
        return f"BatchKey({self.kind!r})"


def statements_of(step: Statement | Sequence[Statement]) -> Sequence[Statement]:
    """Return the statements of a step."""
    return (step,) if isinstance(step, Statement) else step


def as_struct(kind: type[StructT], values: Iterable[Any]) -> StructT:
    """Return values of a row as a struct that has them as fields, in this order.

    Raises:
        ReadFailed: A value has another type than its field, as in a damaged file.
    """
    fields = dict(zip(kind.__struct_encode_fields__, values, strict=True))
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError:
        raise ReadFailed("a stored row is damaged") from None


def names_of(step: Step) -> tuple[str, ...]:
    """Return the names of the statements of a step."""
    if isinstance(step, StatementBatch):
        return (step.name,)
    return tuple([one.name for one in statements_of(step)])


Guard: TypeAlias = Callable[[Sequence["Migration"]], Transaction[None]]
"""Raises ConfigError if the steps must not be applied now."""


class Store(Protocol):
    """A database with openpns's tables.

    Every method may raise ServiceUnavailable (the database cannot be reached, is full or too
    busy, and nothing was written), ReadFailed or InternalError. Searches (statements with the
    option `search`), streams and writes of one customer wait for their turn, and are refused with
    Overloaded if too many wait: see `StorageBounds`.
    """

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:
        """Run one reading statement.

        Its rows are one snapshot with every write that was acknowledged before.
        """
        ...

    async def get_cached(self, name: str, value: str, since_s: float) -> NamedRow | None:
        """Return the row that a statement with the option `cached` finds by a value.

        The row is not older than `since_s`, a time of `perf_counter`; for a time in the future, not
        older than the call. The engine may read it for several callers together, or return a cached
        row that is proven current.
        """
        ...

    def stream(
        self, name: str, params: Params, rows_each: int
    ) -> AsyncGenerator[Sequence[Row], None]:
        """Run one reading statement and return its rows in slices, all from one snapshot.

        Close the iterator if it is not read to its end.
        """
        ...

    async def read(
        self, steps: Callable[[], Transaction[ResultT]], *, customer_id: str = ""
    ) -> ResultT:
        """Run steps that only read, on one snapshot with every write that was acknowledged before.

        They wait for no write, and lock nothing: statements that lock rows only read them.

        Args:
            steps: Makes the generator; called again for each new attempt.
            customer_id: Whose reading steps they are: if they take long, they take the place of a
                search of this customer.

        Raises:
            WireError: Whatever the steps raise.
        """
        ...

    async def write(
        self,
        steps: Callable[[], Transaction[ResultT]],
        *,
        customer_id: str = "",
        batch_key: BatchKey | None = None,
    ) -> ResultT:
        """Run steps in one transaction; once this returns, they are on disk.

        Args:
            steps: Makes the generator; called again for each new attempt.
            customer_id: Whose turn it takes: the writes of customers take turns. Empty for work
                of no customer.
            batch_key: Which other writes may share the transaction; None if the steps are likely
                to fail, take long, or change more than one resource.

        Raises:
            WireError: Whatever the steps raise; nothing is written then. OutcomeUnknown if the
                database was lost during the commit.
        """
        ...

    async def applied_migrations(self) -> "Sequence[Applied]":
        """Return the migration steps that were applied; none for an empty database."""
        ...

    async def find_schema_differences(self, known: "Sequence[Migration]") -> "Differences":
        """Compare the tables, triggers and so on with those that the applied steps make.

        Needs no right but to read the database's catalog.
        """
        ...

    async def migrate(
        self,
        known: "Sequence[Migration]",
        *,
        with_post: bool = False,
        guard: "Guard | None" = None,
    ) -> "list[Migration]":
        """Apply the missing ones of all steps in one transaction under a lock; return them.

        `post` steps are applied to an empty database, to another one only with `with_post`. The
        guard of a database that is not empty runs first, in the same transaction.

        Raises:
            ConfigError: The database refuses a step, or the text of an applied step has changed.
                Nothing is applied then.
        """
        ...

    async def truncate_log(self) -> bool:
        """Empty the log of changes, which holds deleted rows; return whether it is empty.

        It is not while a long read needs it: try again later. PostgreSQL recycles its log itself.
        """
        ...

    def usage(self) -> StorageUsage:
        """Return what is in flight and what waits."""
        ...

    def sizes(self) -> StorageSizes:
        """Return how large the database is, without reading it."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


def database_path(url: str) -> str | None:
    """Return the file that an SQLite URL names, or None for a PostgreSQL URL.

    The file's name is the URL's text in UTF-8, whatever the locale; the path is what `os` needs
    for these bytes.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.

    Raises:
        ConfigError: It is another URL. The text does not repeat it: it may hold a password.
    """
    if url.startswith(("postgresql://", "postgres://")):
        return None
    path = url.removeprefix("sqlite:///")
    if path == url or not path or "?" in path or path == ":memory:":
        raise ConfigError(
            "database: not a URL that openpns knows; allowed are sqlite:///relative.db, "
            "sqlite:////absolute.db and postgresql://user:password@host:port/name"
        )
    return os.fsdecode(path.encode("utf-8", "surrogateescape"))


def database_url(file: str | Path) -> str:
    """Return the URL of an SQLite file: the inverse of `database_path`."""
    return f"sqlite:///{os.fsencode(file).decode('utf-8', 'surrogateescape')}"
