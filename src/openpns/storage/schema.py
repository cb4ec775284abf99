"""Compare the objects of a database with those that the migrations make.

An object is a table, a column, an index, a constraint, a trigger: whatever can change what a
statement of openpns does.

Source: docs/decisions/0030-compared-schema.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from openpns.storage.migrations import MARKS

if TYPE_CHECKING:
    from openpns.storage.migrations import Applied, Migration


_SHOWN_CHARS_MAX: Final = 80
"""Definitions of more characters are not shown."""


class Key(msgspec.Struct, frozen=True, order=True):
    """What identifies an object: its kind, its table, and a name or a definition.

    `name` is empty for the table itself.
    """

    kind: str
    table: str
    name: str = ""


class Found(msgspec.Struct, frozen=True):
    """An object as a database has it.

    Attributes:
        definition: Must be equal to that of the migrations.
        label: The object's name for people; None for the name of its key.
        is_harmless: Whether it changes no result if the migrations do not make it: an index that
            only costs time.
        is_of_copy: Whether `openpns copy` has added it, to note changes.
    """

    key: Key
    definition: str
    label: str | None = None
    is_harmless: bool = False
    is_of_copy: bool = False


class Differences(msgspec.Struct, frozen=True):
    """How a database differs from what the migrations make.

    Attributes:
        faults: What must not be; a line of text for each.
        notes: What an operator has added and may keep; a line of text for each.
        newer: The steps that this version does not know; what they added cannot be compared.
    """

    faults: Sequence[str]
    notes: Sequence[str]
    newer: Sequence[str]


def compare(
    expected: Mapping[Key, str], found: Iterable[Found], newer: Sequence[str] = ()
) -> Differences:
    """Compare objects. With steps of a newer version, further objects are not faults."""
    objects = {one.key: one for one in found}
    faults: list[str] = []
    notes: list[str] = []
    for key, definition in expected.items():
        there = objects.get(key)
        if there is None:
            faults.append(f"{_text(key)} is missing")
        elif there.definition != definition:
            faults.append(f"{_text(key, there.label)} {_change(definition, there.definition)}")
    if any(one.is_of_copy for one in objects.values()):
        notes.append("openpns copy has not ended: triggers note each change; see copy --cancel")
    for key, there in objects.items():
        if key not in expected and not newer and not there.is_of_copy:
            lines = notes if there.is_harmless else faults
            lines.append(f"{_text(key, there.label)} is not made by openpns")
    return Differences(_on_one_line(faults), _on_one_line(notes), list(newer))


def find_newer(known: "Sequence[Migration]", applied: "Sequence[Applied]") -> list[str]:
    """Return the labels of applied steps that this version does not know."""
    keys = {one.key for one in known}
    return [
        f"{one.number} {one.step}"
        for one in applied
        if (one.number, one.step) not in keys and one.step not in MARKS
    ]


def _change(expected: str, found: str) -> str:
    """Return how a definition differs; long ones, such as of functions, are not shown."""
    if max(len(expected), len(found)) > _SHOWN_CHARS_MAX or not expected:
        return "is not as the migrations make it"
    return f'is not as the migrations make it: it is "{found}" instead of "{expected}"'


def _text(key: Key, label: str | None = None) -> str:
    """Return "trigger t1 on number_group"."""
    name = label or key.name
    return f"{key.kind} {name} on {key.table}" if name else f"{key.kind} {key.table}"


def _on_one_line(texts: Iterable[str]) -> list[str]:
    """Replace control characters, which a name may contain, and sort."""
    return sorted("".join(c if c.isprintable() else "\ufffd" for c in text) for text in texts)
