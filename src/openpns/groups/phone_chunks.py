"""The phone text of a group in the database: a first chunk, and more chunks for a long group.

listGroup sends the phones of a group as one text. The row of the group holds the first
PHONES_IN_CHUNK of them; `group_phone_chunk` holds the others, as many to a chunk. So a phone that
is added to a long group rewrites one chunk and not the whole text. Each chunk but the last is full:
the count of phones determines the chunk of the next one.

Source: docs/decisions/0014-phone-chunks.md.
"""

from collections.abc import Sequence
from typing import Final

from openpns.storage.store import Statement

PHONES_IN_CHUNK: Final = 128
"""Migrations contain this number, too."""


def first_chunk(phones: Sequence[str]) -> str:
    """Return the text that the row of a group with these phones holds."""
    return ",".join(phones[:PHONES_IN_CHUNK])


def write_chunks(customer_id: str, group_seq: int, phones: Sequence[str]) -> list[Statement]:
    """Return what writes the chunks of a group without any; `phones` are all of its phones."""
    size = PHONES_IN_CHUNK
    return _append_chunks(customer_id, group_seq, phones[size:], size)


def append(
    customer_id: str, group_seq: int, count: int, added: Sequence[str]
) -> tuple[str, list[Statement]]:
    """Append new phones to a group of `count` phones.

    Return the text to add to the first chunk, and what appends to the other chunks.
    """
    room = max(PHONES_IN_CHUNK - count, 0)
    text = "".join([f",{phone}" for phone in added[:room]])[not count :]
    first = max(count, PHONES_IN_CHUNK)
    return text, _append_chunks(customer_id, group_seq, added[room:], first)


def delete_chunks(customer_id: str, group_seq: int, count: int) -> list[Statement]:
    """Return what deletes the chunks of a group of `count` phones."""
    if count <= PHONES_IN_CHUNK:
        return []
    group = {"customer_id": customer_id, "group_seq": group_seq}
    return [Statement("group_phone_chunk_delete_all", group)]


def _append_chunks(
    customer_id: str, group_seq: int, phones: Sequence[str], first: int
) -> list[Statement]:
    """Split phones into the text to add to each chunk; `first` is the index of the first phone."""
    size = PHONES_IN_CHUNK
    chunks: list[int] = []
    texts: list[str] = []
    begin = 0
    while begin < len(phones):
        end = begin + size - (first + begin) % size
        chunks.append((first + begin) // size)
        texts.append("".join([f",{phone}" for phone in phones[begin:end]]))
        begin = end
    if not chunks:
        return []
    group = {"customer_id": customer_id, "group_seq": group_seq}
    return [Statement("group_phone_chunk_append", {**group, "chunks": chunks, "texts": texts})]
