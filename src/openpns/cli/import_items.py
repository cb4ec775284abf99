"""What an import through the API does with each row, and counting it."""

import msgspec

from openpns.cli.group_report import counts
from openpns.groups.rows import GroupRow


class Change(msgspec.Struct, frozen=True):
    """What a row with a groupId changes.

    Attributes:
        added: How many numbers come in.
        removed: How many numbers go.
        is_reordered: Whether the numbers' order changes.
        old_phones: The numbers that go where none is left; empty otherwise.
    """

    added: int
    removed: int
    is_reordered: bool
    old_phones: list[str]

    @property
    def is_none(self) -> bool:
        """Whether the group stays as it is."""
        return not (self.added or self.removed or self.is_reordered)


class Item(msgspec.Struct, frozen=True):
    """A row, and what it changes; None where it becomes a new group."""

    row: GroupRow
    change: Change | None


class Tally(msgspec.Struct):
    """How much is, or would be, done."""

    groups: int = 0
    phones: int = 0
    changed: int = 0
    added: int = 0
    removed: int = 0
    same: int = 0

    def count(self, item: Item) -> None:
        """Count a row.

        Args:
            item: The row.
        """
        if item.change is None:
            self.groups += 1
            self.phones += len(item.row.phones)
        elif item.change.is_none:
            self.same += 1
        else:
            self.changed += 1
            self.added += item.change.added
            self.removed += item.change.removed

    def told(self, create: str, change: str) -> str:
        """Return the counts for people.

        Args:
            create: The verb for new groups.
            change: The verb for changed ones.
        """
        parts = [f"{create} {counts(self.groups, self.phones)}"]
        if self.changed:
            parts.append(f"{change} {self.changed} (+{self.added} -{self.removed} numbers)")
        if self.same:
            parts.append(f"{self.same} the same")
        return ", ".join(parts)
