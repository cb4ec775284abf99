"""The protocol through which the domain sees a database: named statements, and steps.

A write is a generator function: it yields statements, gets their rows and may raise. It does no
I/O, so the same steps run on every engine, in one transaction (on SQLite in a batch with
others, under a savepoint of their own).
"""

from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from openpns.errors import ConfigError

Row: TypeAlias = Sequence[Any]
Params: TypeAlias = Mapping[str, Any]

ResultT = TypeVar("ResultT")


class Statement(msgspec.Struct, frozen=True):
    """One step of a write: a named statement with its parameters."""

    name: str
    params: Params

    def __repr__(self) -> str:
        """Return a text without the parameters: they may be phone numbers."""
        return f"Statement({self.name!r})"


class StatementBatch(msgspec.Struct, frozen=True):
    """One step of a write: a named statement run for each set of parameters; returns no rows."""

    name: str
    params: Sequence[Params]

    def __repr__(self) -> str:
        """Return a text without the parameters: they may be phone numbers."""
        return f"StatementBatch({self.name!r}, {len(self.params)} times)"


Transaction: TypeAlias = Generator[Statement | StatementBatch, Sequence[Row], ResultT]
"""A write: what it yields is run, what it returns is the write's result."""


class Store(Protocol):
    """A database with openpns's tables.

    Every method may raise ServiceUnavailable (the database cannot be reached, is full or too
    busy, and nothing was written), ReadFailed or InternalError.
    """

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:
        """Run one reading statement.

        Its rows are one snapshot, which has every write that was acknowledged before.

        Args:
            name: The statement's name.
            params: Its parameters.
        """
        ...

    async def get_cached(self, name: str, value: str) -> Mapping[str, Any] | None:
        """Return the row that a statement finds by a value, as it is after this was called.

        The engine may answer several callers together, or with what it knows where it can tell
        that nothing has changed.

        Args:
            name: The statement's name; its first column is the value.
            value: What to find.
        """
        ...

    def stream(
        self, name: str, params: Params, rows_each: int
    ) -> AsyncGenerator[Sequence[Row], None]:
        """Run one reading statement and return its rows in slices, all from one snapshot.

        Close the iterator where it is not read to its end.

        Args:
            name: The statement's name.
            params: Its parameters.
            rows_each: How many rows a slice may hold.
        """
        ...

    async def write(
        self, steps: Callable[[], Transaction[ResultT]], *, batch_key: str | None = None
    ) -> ResultT:
        """Run steps in one transaction; once this returns, they are on disk.

        Args:
            steps: Makes the generator; called again where the engine asks for a new attempt.
            batch_key: What the first statement locks, for steps that touch only rows of their own
                besides: the engine may run those with the same lock side by side in one
                transaction.

        Raises:
            WireError: Whatever the steps raise; nothing is written then. OutcomeUnknown where
                the database was lost during the commit.
        """
        ...

    async def schema_version(self) -> int:
        """Return the number of the newest migration that was applied; 0 for an empty database."""
        ...

    async def migrate(self, scripts: Sequence[tuple[int, str]]) -> list[int]:
        """Apply the migrations that are missing, in one transaction under a lock.

        Args:
            scripts: Number and SQL of each migration, in order.

        Returns:
            The numbers of those that were applied now.

        Raises:
            ConfigError: The database refuses one; nothing is applied then.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


def variant_name(name: str, chosen: Collection[str]) -> str:
    """Return the name of a statement with choices; see `openpns.storage.variants`.

    Args:
        name: The name in the file.
        chosen: What is chosen.
    """
    return f"{name}:{'+'.join(sorted(chosen))}"


def database_path(url: str) -> str | None:
    """Return the file that an SQLite URL names, or None for a PostgreSQL URL.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.

    Raises:
        ConfigError: The URL is another one. The text does not repeat it: it may hold a password.
    """
    if url.startswith(("postgresql://", "postgres://")):
        return None
    path = url.removeprefix("sqlite:///")
    if path == url or not path or "?" in path or path == ":memory:":
        raise ConfigError(
            "database: not a URL that openpns knows; allowed are sqlite:///relative.db, "
            "sqlite:////absolute.db and postgresql://user:password@host:port/name"
        )
    return path
