"""Steps that only read: a read-only transaction may lock no row.

For each statement that locks rows there is one that only reads them.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from openpns.storage.statements import NamedStatement
from openpns.storage.store import ResultT, Statement, Transaction

_LOCK: Final = "FOR UPDATE"
_UNLOCKED: Final = ":unlocked"
"""How the name of a statement without its lock ends."""


def with_statements(statements: Mapping[str, NamedStatement]) -> dict[str, NamedStatement]:
    """Return statements by name, and each that locks rows also without its lock."""
    found = dict(statements)
    for name, one in statements.items():
        if _LOCK in one.sql:
            sql, unlocked = one.sql.replace(_LOCK, ""), f"{name}{_UNLOCKED}"
            found[unlocked] = msgspec.structs.replace(one, name=unlocked, sql=sql)
    return found


def steps(
    locking: Transaction[ResultT], statements: Mapping[str, NamedStatement]
) -> Transaction[ResultT]:
    """Return the same steps without locks.

    Args:
        locking: Steps that only read, but for the locks.
        statements: As `with_statements` returns them.
    """

    def unlock(statement: Statement) -> Statement:
        name = f"{statement.name}{_UNLOCKED}"
        return Statement(name, statement.params) if name in statements else statement

    try:
        step = next(locking)
        while True:
            if isinstance(step, Statement):
                rows = yield unlock(step)
            else:
                rows = yield [unlock(one) for one in cast("Sequence[Statement]", step)]
            step = locking.send(rows)
    except StopIteration as stop:
        return cast("ResultT", stop.value)
