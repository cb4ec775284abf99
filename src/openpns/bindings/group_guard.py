"""What bindings demand of a bound group: the guard that `groups` runs in the commit of a change.

A group is locked before its customer, by binds and by changes alike. So a change either sees a
binding of its group, or the bind sees the change.
"""

from collections.abc import Callable, Sequence

from openpns.bindings.listing import count_of_group
from openpns.bindings.making import AFTER_DIGITS
from openpns.core.context import Context
from openpns.errors import BindingConflict, CountryMismatch, GroupBound
from openpns.groups.guard import GroupGuard
from openpns.storage.store import Statement, Transaction


class BoundGroupGuard(GroupGuard):
    """See `groups.guard.GroupGuard`."""

    def check_phones(  # noqa: D102
        self,
        context: Context,
        group_seq: int,
        phones: Sequence[str],
        describe: Callable[[str], str],
    ) -> Transaction[None]:
        yield Statement("customer_state_lock", {"customer_id": context.customer_id})
        group = _now(context, group_seq)
        for (country,) in (yield Statement("binding_group_country_list", group)):
            for phone in phones:
                if not country <= phone < country + AFTER_DIGITS:
                    raise CountryMismatch(
                        f"{describe(phone)} must begin with {country}, as the virtual number does "
                        "that the group is bound on"
                    )
        taken = yield Statement("binding_group_taken_find", group | {"phones": [*phones]})
        if taken:
            raise BindingConflict(
                f"{describe(taken[0][0])} has a live binding on a virtual number that the group is "
                "bound on, or is in another group that is bound there"
            )

    def check_delete(self, context: Context, group_seq: int) -> Transaction[None]:  # noqa: D102
        yield Statement("customer_state_lock", {"customer_id": context.customer_id})
        group = _now(context, group_seq)
        ((count,),) = yield Statement("binding_group_usage", group)
        if count:
            raise GroupBound(f"live bindings that use it: {count}")

    async def count(self, context: Context, group_seq: int) -> int:  # noqa: D102
        return await count_of_group(context, group_seq)


def _now(context: Context, group_seq: int) -> dict[str, object]:
    """Return the parameters of statements that judge a group's bindings, under the lock."""
    return {
        "customer_id": context.customer_id,
        "group_seq": group_seq,
        "now_ms": context.clock(),
    }
