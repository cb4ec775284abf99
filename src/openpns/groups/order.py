"""The order of a customer's groups: sequence numbers, and how an offset is found among them.

Each group has a `group_seq`, assigned once. Deleted groups leave gaps, so the group at an offset
is found with the table `group_order_gap`, which counts the gaps of each block: a block of level 1
holds 64 seqs, a block of a higher level holds 64 blocks of the level below. A block without gaps
has no row. PostgreSQL does the search in the statement `group_list_seek`. SQLite calls the
function `group_seq_at`: it has no LATERAL, and its window functions cost more than these reads.

Source: docs/decisions/0013-gaps-are-counted.md.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import apsw

BLOCK_BITS: Final = 6
BLOCK_SIZE: Final = 1 << BLOCK_BITS
LEVELS: Final = 4

LEVEL_FRAGMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "": {
        "bits": str(BLOCK_BITS),
        "root_level": str(LEVELS + 1),
        "levels": " UNION ALL ".join(f"SELECT {level} AS level" for level in range(1, LEVELS + 1)),
    }
}
"""For the statements that know the shape of `group_order_gap`."""


_SEQ_ORDERS: Final = ("oldest", "newest")
_NAME_ORDERS: Final = ("name",)


def _page_fragments(
    orders: Sequence[str], *, by_seq: bool = True, by_name: bool = True
) -> dict[str, dict[str, str]]:
    """Return the fragments of each order for a statement that returns a page.

    `after` and `order` may use the index of the order. `sorted_after` and `sorted` may not: they
    are for groups that another index has found.

    Args:
        by_seq: Whether `order` may use the index of seqs. `+` prevents that.
        by_name: Whether `order` may use the index of names. `|| ''` prevents that.
    """
    seq = "found.group_seq" if by_seq else "+found.group_seq"
    name = "found.folded_name" if by_name else "(found.folded_name || '')"
    return {
        order: {
            "after": _AFTER[order].format(seq=seq, name=name),
            "order": _ORDER[order].format(seq=seq, name=name),
            "sorted_after": _AFTER[order].format(
                seq="+found.group_seq", name="(found.folded_name || '')"
            ),
            "sorted": _ORDER[order].format(
                seq="+found.group_seq", name="(found.folded_name || '')"
            ),
        }
        for order in orders
    }


_AFTER: Final = {
    "oldest": "{seq} > CAST(:after_seq AS bigint)",
    "newest": "{seq} < CAST(:after_seq AS bigint)",
    "name": "({name}, found.group_seq) > (:after_name, CAST(:after_seq AS bigint))",
}
_ORDER: Final = {"oldest": "{seq}", "newest": "{seq} DESC", "name": "{name}, found.group_seq"}

# Plans are made once, often while the tables are empty. If a statement could choose another index
# than that of its filter, it could read all groups of a customer to find a few.
FIND_ALL: Final = _page_fragments((*_SEQ_ORDERS, *_NAME_ORDERS))
FIND_BY_ID: Final = _page_fragments((*_SEQ_ORDERS, *_NAME_ORDERS), by_seq=False, by_name=False)
BY_NAME_IN_ITS_ORDER: Final = _page_fragments(_NAME_ORDERS)
BY_NAME_IN_ANOTHER_ORDER: Final = _page_fragments(_SEQ_ORDERS)
BY_PHONE_IN_ITS_ORDER: Final = _page_fragments(_SEQ_ORDERS)
BY_PHONE_IN_ANOTHER_ORDER: Final = _page_fragments(_NAME_ORDERS)

SCAN_GROUPS: Final = 20_000
"""A search that matches many groups looks for its page among so many first groups in its order."""

SEQ_MIN: Final = -1
"""Before the first seq: `after` for a page from the beginning."""

SEQ_MAX: Final = 2**63 - 1
"""After the last seq."""

_GAPS: Final = (
    "SELECT block, deleted FROM group_order_gap "
    "WHERE customer_id = ? AND level = ? AND block >= ? AND block < ? ORDER BY block"
)
_SEQ: Final = (
    "SELECT group_seq FROM number_group "
    "WHERE customer_id = ? AND group_seq >= ? ORDER BY group_seq LIMIT 1 OFFSET ?"
)


def register(connection: "apsw.Connection") -> None:
    """Register the function `group_seq_at(customer_id, offset)` with a connection.

    It runs inside the statement that calls it, so it reads the same snapshot. A trigger or view of
    the file may not call it.
    """
    import apsw  # noqa: PLC0415 - a server on PostgreSQL does not have it

    def group_seq_at(*values: Any) -> int | None:
        customer_id, offset = values
        return _find_seq(connection, customer_id, offset)

    flags = apsw.SQLITE_DIRECTONLY
    connection.create_scalar_function("group_seq_at", group_seq_at, 2, flags=flags)


def _find_seq(connection: "apsw.Connection", customer_id: str, offset: int) -> int | None:
    """Return the seq of the group at an offset; None after the last group."""
    first, end, gaps_before = 0, SEQ_MAX, 0
    for level in range(LEVELS, 0, -1):
        bits = BLOCK_BITS * level
        found = None
        gaps = gaps_before
        for block, deleted in connection.execute(_GAPS, (customer_id, level, first, end)):
            if (block << bits) - gaps > offset:
                break
            found, gaps_before = block, gaps
            gaps += deleted
        if found is None or offset >= ((found + 1) << bits) - gaps:
            return offset + gaps
        first, end = found << BLOCK_BITS, (found + 1) << BLOCK_BITS
    # The offset lies in this block of level 1, which has both gaps and groups.
    skipped = offset - (first - gaps_before)
    seq: int | None = connection.execute(_SEQ, (customer_id, first, skipped)).get
    return seq
