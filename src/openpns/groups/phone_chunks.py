"""The text of a group's numbers as it stands in the database: a head, and parts behind it.

listGroup sends the numbers of a group as one text. Short groups keep it in one piece, in the row
of the group. Of a longer one, the row holds the first numbers and `group_phone_chunk` the others,
as many to a part as the row has; so a number that is added to a long group rewrites one part and
not the whole text. Every piece but the last is full, so the count of numbers tells where the
next one goes.
"""

from collections.abc import Sequence

from openpns import limits
from openpns.storage.store import Params, Statement, StatementBatch, Transaction


def head(phones: Sequence[str]) -> str:
    """Return the piece that stands in the row of a group.

    Args:
        phones: All numbers of the group, in order.
    """
    return ",".join(phones[: limits.PHONES_IN_CHUNK])


def write_chunks(customer_id: str, group_seq: int, phones: Sequence[str]) -> Transaction[None]:
    """Write the parts of a group that has none.

    Args:
        customer_id: Whose group.
        group_seq: Its place in the customer's order.
        phones: All numbers of the group, in order.
    """
    parts = _parts(customer_id, group_seq, phones[limits.PHONES_IN_CHUNK :], limits.PHONES_IN_CHUNK)
    if parts:
        yield StatementBatch("group_phone_chunk_append", parts)


def append(customer_id: str, group_seq: int, count: int, added: Sequence[str]) -> Transaction[str]:
    """Write numbers behind those that are there; return what is to be added to the head.

    Args:
        customer_id: Whose group.
        group_seq: Its place in the customer's order.
        count: How many numbers it has.
        added: Numbers that it does not have yet.
    """
    room = max(limits.PHONES_IN_CHUNK - count, 0)
    parts = _parts(customer_id, group_seq, added[room:], max(count, limits.PHONES_IN_CHUNK))
    if parts:
        yield StatementBatch("group_phone_chunk_append", parts)
    return "".join([f",{phone}" for phone in added[:room]])[not count :]


def rewrite_chunks(
    customer_id: str, group_seq: int, count: int, phones: Sequence[str]
) -> Transaction[None]:
    """Write the parts of a group anew.

    Args:
        customer_id: Whose group.
        group_seq: Its place in the customer's order.
        count: How many numbers it had before.
        phones: All numbers it has now, in order.
    """
    yield from delete_chunks(customer_id, group_seq, count)
    yield from write_chunks(customer_id, group_seq, phones)


def delete_chunks(customer_id: str, group_seq: int, count: int) -> Transaction[None]:
    """Take away the parts of a group.

    Args:
        customer_id: Whose group.
        group_seq: Its place in the customer's order.
        count: How many numbers it has.
    """
    if count > limits.PHONES_IN_CHUNK:
        group = {"customer_id": customer_id, "group_seq": group_seq}
        yield Statement("group_phone_chunk_delete_all", group)


def _parts(customer_id: str, group_seq: int, phones: Sequence[str], place: int) -> list[Params]:
    """Split numbers into what goes into each part, the first of them at a place in the group."""
    size = limits.PHONES_IN_CHUNK
    parts: list[Params] = []
    begin = 0
    while begin < len(phones):
        end = begin + size - (place + begin) % size
        parts.append(
            {
                "customer_id": customer_id,
                "group_seq": group_seq,
                "chunk": (place + begin) // size,
                "phones": "".join([f",{phone}" for phone in phones[begin:end]]),
            }
        )
        begin = end
    return parts
