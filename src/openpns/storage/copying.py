"""What a copy of a database needs of each engine: its tables, and reading and writing their rows.

While a copy runs, triggers of the source note the key of each changed row in a table of their own.
A row of `schema_migration` with the number 0 keeps servers away: `copying` from a target that is
not complete, `moved` from a source that was copied.

Source: docs/decisions/0058-copies-of-databases.md.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from openpns.errors import ConfigError, OpenPNSError

Row: TypeAlias = tuple[Any, ...]
TableKey: TypeAlias = tuple[str | int, ...]


class Table(msgspec.Struct, frozen=True):
    """A table that is copied.

    Attributes:
        key: The columns of its primary key, or of one that is as unique.
        secrets: The columns with ciphertexts.
        has_parent: Whether its rows refer to a customer.
    """

    name: str
    key: Sequence[str]
    secrets: Sequence[str] = ()
    has_parent: bool = False


TABLES: Final = (
    Table("customer", ("customer_id",)),
    Table(
        "access_key",
        ("access_key",),
        secrets=("secret_ciphertext", "previous_ciphertext"),
        has_parent=True,
    ),
    Table("customer_state", ("customer_id",), has_parent=True),
    Table("master_key_check", ("only_row",), secrets=("ciphertext",)),
    Table("virtual_number", ("did",), has_parent=True),
    Table(
        "webhook",
        ("customer_id",),
        secrets=("secret_ciphertext", "previous_ciphertext"),
        has_parent=True,
    ),
    Table("number_load", ("customer_id", "did")),
    Table("call_audio", ("customer_id", "did")),
    Table("number_group", ("customer_id", "group_id")),
    Table("group_member", ("customer_id", "group_seq", "phone")),
    Table("group_phone_chunk", ("customer_id", "group_seq", "chunk")),
    Table("group_order_gap", ("customer_id", "level", "block")),
    Table("group_tombstone", ("customer_id", "group_id")),
    Table("binding", ("customer_id", "binding_seq")),
    Table("seat", ("customer_id", "phone", "did")),
    Table("ended_binding", ("customer_id", "binding_seq")),
    Table("digit_guard", ("customer_id", "did", "caller")),
    Table("call_trace", ("customer_id", "call_id")),
    Table("routing_sequence", ("customer_id", "name")),
    Table("call_record", ("customer_id", "record_id")),
    Table("customer_usage", ("customer_id", "name", "worker_id")),
    Table("delivery", ("customer_id", "delivery_id")),
    Table("idempotency_record", ("customer_id", "idempotency_key")),
    Table("audit_entry", ("customer_id", "at_ms", "entry_id")),
    Table("audit_seal", ("customer_id", "seq")),
    Table("audit_unsealed", ("customer_id", "at_ms", "entry_id")),
    Table("audit_backlog", ("only_row",)),
    Table("audit_pruning", ("only_row",)),
    Table("worker_lease", ("worker_id",)),
)
"""All tables whose rows are copied; those that others refer to come first."""

NOT_COPIED: Final = {
    "schema_migration": "each database has its own; the steps must be the same",
    "call_record_counter": "SQLite's counter of call records; PostgreSQL has a sequence",
}

STATE_TABLE: Final = "openpns_copy"
LOG_TABLE: Final = "openpns_copy_change"
PROGRESS_TABLE: Final = "openpns_copy_progress"
CAPTURE: Final = "openpns_copy_"
"""How the names of triggers begin that note changes."""
REFUSE: Final = "openpns_moved"
"""How the names of triggers begin that refuse every write."""
REFUSED: Final = "openpns: this database was copied to another one and takes no writes"

HOLD: Final = "UPDATE customer_state SET bindings_held_ms = {} WHERE bindings_held_ms IS NULL"
"""Lets no call be connected, from a time on."""
LEASES: Final = "SELECT count(*), max(expires_ms) FROM worker_lease WHERE expires_ms > {}"
"""The leases that are held at a time."""

MARK_NUMBER: Final = 0
"""The number of a row of `schema_migration` that keeps servers away."""
STEPS: Final = "SELECT number, step FROM schema_migration WHERE number <> 0"


class State(msgspec.Struct, frozen=True):
    """What a copy has made of a database.

    Attributes:
        role: `none`; `capturing` for a source that notes its changes, `moved` for one that was
            copied; `copying` for a target that is not complete.
        copy_id: Which copy.
        origin: What identified the database when the copy began; empty for `moved`.
        rounds: The round that a source is in; empty if it was stopped. Those that the source of a
            target may be in.
    """

    role: str = "none"
    copy_id: str = ""
    origin: str = ""
    rounds: Sequence[str] = ()


def source_state(mark: Sequence[str] | None, noted: Sequence[str] | None) -> State:
    """Return the state of a database that is no target.

    Args:
        mark: The step and the checksum of its row of `schema_migration`, if it has one.
        noted: Which copy, the origin and the round, if it notes changes.
    """
    rounds = (noted[2],) if noted is not None else ()
    if mark is not None:
        return State(mark[0], mark[1], rounds=rounds)
    return State() if noted is None else State("capturing", noted[0], noted[1], rounds)


class Done(msgspec.Struct):
    """How much of a table is in the target.

    Attributes:
        last_key: The key of the last row of the last page; None if there is none.
        is_complete: Whether the last page was written.
        rows: How many rows the target has.
        digest: The sum of the digests of its rows, as an integer of 128 bits.
    """

    last_key: TableKey | None = None
    is_complete: bool = False
    rows: int = 0
    digest: int = 0


class Change(msgspec.Struct, frozen=True):
    """A changed row of the source.

    Attributes:
        place: Where the log has it.
    """

    place: int
    table: str
    key: TableKey


def refuse_leases(option: str, count: int, end_ms: int, now_ms: int) -> None:
    """Make sure that no server uses the source of a copy with `--stopped`.

    Raises:
        ConfigError: A worker holds a lease.
    """
    if count:
        raise ConfigError(
            f"{option}: {count} workers are running, or have crashed and hold their leases for "
            f"{(end_ms - now_ms) // 1000 + 1} s more; --stopped needs every server stopped"
        )


class Conflict(OpenPNSError):
    """The target has a row with the key, or with another unique value, of a new row."""


class Endpoint(Protocol):
    """One of the two databases of a copy, through one connection.

    Every method may raise ConfigError (the database refuses it) and ServiceUnavailable.
    """

    async def state(self) -> State:
        """Return what a copy has made of this database."""
        ...

    async def origin(self) -> str:
        """Return what identifies this database: another one, or a restored one, has another."""
        ...

    async def lock(self) -> None:
        """Lock out another copy to or from this database, until `close`.

        Raises:
            ConfigError: Another one runs.
        """
        ...

    async def steps(self) -> AbstractSet[tuple[int, str]]:
        """Return the migrations that were applied: their numbers and steps."""
        ...

    async def columns(self, table: str) -> Sequence[str]:
        """Return the names of the columns of a table, in the order of its rows here."""
        ...

    def use_columns(self, table: str, columns: Sequence[str]) -> None:
        """Set the order of the columns of a table's rows."""
        ...

    async def count(self, table: str) -> int:
        """Count the rows of a table."""
        ...

    async def page(self, table: Table, after: TableKey | None, rows_max: int) -> Sequence[Row]:
        """Return the next rows behind a key, in an order of this database's own."""
        ...

    async def rows(self, table: Table, keys: Sequence[TableKey]) -> Sequence[Row]:
        """Return the rows that have these keys, in any order."""
        ...

    async def record_id(self) -> int:
        """Return the last id that a call record got; 0 if none did."""
        ...

    # Of a source.

    async def capture(self, copy_id: str) -> None:
        """Note the key of each row that changes from now on; the first round is the copy's id."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[None]:
        """Return a block in which all reads see one snapshot."""
        ...

    def freeze(self) -> AbstractAsyncContextManager[None]:
        """Return a block during which nobody writes; what the block writes is committed at its end.

        Writes of servers wait, and are refused after `storage_timeout_ms`, as on a busy database.
        """
        ...

    async def changes(self, after: int, at_most: int) -> Sequence[Change]:
        """Return noted changes behind a place, in the order of their places."""
        ...

    async def enter_round(self, name: str) -> None:
        """Begin a round: a backup from before it has another one, and is noticed by that."""
        ...

    async def forget(self, places: Sequence[int]) -> None:
        """Delete noted changes."""
        ...

    async def move(self, copy_id: str, now_ms: int) -> None:
        """Refuse every write from now on, and let no call be connected; inside `freeze`."""
        ...

    async def stop(self, copy_id: str, now_ms: int) -> None:
        """Keep servers away from a source whose servers are stopped, instead of `capture`.

        Commands that are running are refused every write, too, but not on Citus.

        Raises:
            ConfigError: A worker holds a lease.
        """
        ...

    async def cancel(self) -> None:
        """Remove what a copy has added to a source, so that servers can write to it again.

        If it was moved, let no call be connected: bindings may have ended in the target.
        """
        ...

    # Of a target.

    async def begin(self, copy_id: str) -> None:
        """Keep servers away from an empty database, and let no trigger add rows."""
        ...

    async def save_rounds(self, names: Sequence[str]) -> None:
        """Store in which rounds the source may be."""
        ...

    async def progress(self) -> Mapping[str, Done]:
        """Return how much of each table is there."""
        ...

    async def save(self, table: str, done: Done) -> None:
        """Store how much of a table is there, inside `transaction`."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Return a block whose writes are committed together, and survive a loss of power."""
        ...

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Add new rows, inside `transaction`.

        Raises:
            Conflict: One of them is there already.
        """
        ...

    async def replace(self, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
        """Add rows or replace those with the same keys, inside `transaction`.

        Returns:
            Rows that were deleted because they have a unique value of a new one. They have changed
            in the source, which does not allow both.
        """
        ...

    async def delete(self, table: Table, keys: Sequence[TableKey]) -> None:
        """Delete rows, inside `transaction`."""
        ...

    async def tidy(self) -> None:
        """Update the planner's statistics."""
        ...

    async def finish(self, record_id: int) -> None:
        """Let servers use a complete database, whose next call record has a greater id."""
        ...

    async def close(self) -> None:
        """Close the connection; what is not committed is rolled back."""
        ...
