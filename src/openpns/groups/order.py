"""SQLite: the function `group_seq_at` of its statements, which finds a page without a scan.

PostgreSQL does the same in the statement `group_list_seek` itself. SQLite has no LATERAL, and
its window functions cost more than these few small reads.
"""

from typing import Any, Final

import apsw

_LEVELS: Final = 4
_BITS: Final = 6
"""A block of level 1 is 64 places, one of a level above is 64 blocks of the level below."""

_GAPS: Final = (
    "SELECT block, deleted FROM group_order_gap "
    "WHERE customer_id = ? AND level = ? AND block >= ? AND block < ? ORDER BY block"
)
_PLACE: Final = (
    "SELECT group_seq FROM number_group "
    "WHERE customer_id = ? AND group_seq >= ? ORDER BY group_seq LIMIT 1 OFFSET ?"
)
_BLOCK_MAX: Final = 2**63 - 1


def register(connection: apsw.Connection) -> None:
    """Give a connection the function `group_seq_at(customer_id, offset)`.

    It runs within the statement that calls it, and so reads the same snapshot.

    Args:
        connection: The connection.
    """

    def group_seq_at(*values: Any) -> int | None:
        customer_id, offset = values
        return _find_seq(connection, customer_id, offset)

    connection.create_scalar_function("group_seq_at", group_seq_at, 2)


def _find_seq(connection: apsw.Connection, customer_id: str, offset: int) -> int | None:
    """Return the place of the group that as many groups come before; None behind the last."""
    first, end, before = 0, _BLOCK_MAX, 0
    for level in range(_LEVELS, 0, -1):
        bits = _BITS * level
        found = None
        upto = before
        for block, deleted in connection.execute(_GAPS, (customer_id, level, first, end)):
            if (block << bits) - upto > offset:
                break
            found, before = block, upto
            upto += deleted
        if found is None or offset >= ((found + 1) << bits) - upto:
            return offset + upto
        first, end = found << _BITS, (found + 1) << _BITS
    # The offset lies in this smallest block, which is not full.
    skipped = offset - (first - before)
    seq: int | None = connection.execute(_PLACE, (customer_id, first, skipped)).get
    return seq
