"""What a higher feature demands of the change of a group; the registry passes it in."""

from collections.abc import Callable, Sequence
from typing import Protocol

from openpns.core.context import Context
from openpns.storage.store import Transaction


class GroupGuard(Protocol):
    """Steps in the commit of a change of a bound group, whose row is locked."""

    def check_phones(
        self,
        context: Context,
        group_seq: int,
        phones: Sequence[str],
        describe: Callable[[str], str],
    ) -> Transaction[None]:
        """Refuse phones that the group must not hold.

        Args:
            phones: Those that the change adds.
            describe: Returns the text that names the item of a phone in the request.

        Raises:
            WireError: The change is refused.
        """
        ...

    def check_delete(self, context: Context, group_seq: int) -> Transaction[None]:
        """Refuse the delete of a group that is still used.

        Raises:
            WireError: The delete is refused.
        """
        ...

    async def count(self, context: Context, group_seq: int) -> int:
        """Return how many live bindings use a group."""
        ...
