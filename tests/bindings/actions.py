"""Short forms of the actions on virtual numbers, bindings and calls, for tests."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec

from openpns.bindings import changes, ending, listing, service
from openpns.bindings.group_guard import BoundGroupGuard
from openpns.bindings.wire import Binding, BindingDetail, BindingPage
from openpns.core.context import Context
from openpns.errors import BindingNotFound
from openpns.groups import service as groups
from openpns.numbers import service as numbers
from openpns.routing import explain
from openpns.routing import service as routing
from openpns.routing.wire import CallAnswer

A, B, C, D = "85211111111", "85222222222", "85233333333", "85244444444"
X, Y, Z = "85290000001", "85290000002", "85290000003"
GUARD = BoundGroupGuard()


class Bindings:
    """The virtual numbers, bindings and calls of one customer."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def bounded(self, **bounds: Any) -> "Bindings":
        """Return the same bindings, on services with these bounds."""
        services = dataclasses.replace(self.context.services, **bounds)
        return Bindings(msgspec.structs.replace(self.context, services=services))

    async def add(self, *dids: str, business: str = numbers.DEFAULT_BUSINESS) -> None:
        store, clock = self.context.store, self.context.clock
        await numbers.add(store, clock, self.context.customer_id, dids, business_id=business)

    async def set_state(self, did: str, state: str) -> None:
        await numbers.set_state(self.context.store, self.context.clock, did, state)

    async def bind(self, a: str = A, b: str = B, expire: int = 0, **fields: Any) -> tuple[str, str]:
        """Bind two phones; return the bindId and the virtual number."""
        bound = await service.bind_axb(
            self.context, phone_a=a, phone_b=b, expire_second=expire, **fields
        )
        return bound.bind_id, bound.did

    async def bind_digits(
        self, digits: str = "123", a: str = A, x: str = X, expire: int = 0, **fields: Any
    ) -> str:
        bound = await service.bind_axb_extension(
            self.context, phone_a=a, phone_x=x, extension=digits, expire_second=expire, **fields
        )
        return bound.bind_id

    async def bind_group(
        self, group_id: str, a: str = A, expire: int = 0, **fields: Any
    ) -> tuple[str, str]:
        bound = await service.bind_axg(
            self.context, phone_a=a, group_id=group_id, expire_second=expire, **fields
        )
        return bound.bind_id, bound.did

    async def group(self, *phones: str) -> str:
        created = await groups.create_group(self.context, phones=",".join(phones))
        return created.group_id

    async def change_group(
        self, group_id: str, operation: int, *phones: str, dry_run: bool = False
    ) -> None:
        await groups.update_group(
            self.context,
            group_id=group_id,
            operate_type=operation,
            phones=",".join(phones),
            dry_run=dry_run,
            guard=GUARD,
        )

    async def drop_group(self, group_id: str) -> None:
        await groups.delete_group(self.context, group_id=group_id, guard=GUARD)

    async def unbind(self, bind_id: str | None = None, own_id: str | None = None) -> None:
        await changes.unbind_axb(self.context, bind_id=bind_id, customer_bind_id=own_id)

    async def update(self, bind_id: str, **fields: Any) -> None:
        await changes.update_binding(self.context, bind_id=bind_id, **fields)

    async def get(self, bind_id: str) -> BindingDetail:
        return await listing.get_binding(self.context, bind_id=bind_id)

    async def page(self, limit: int = 0, offset: int | None = 0, **filters: Any) -> BindingPage:
        return await listing.get_axb_list(self.context, limit=limit, offset=offset, **filters)

    async def live(self, **filters: Any) -> Sequence[Binding]:
        page = await self.page(**filters)
        assert page.total == len(page.bind_list)
        return page.bind_list

    async def ids(self, **filters: Any) -> list[str]:
        return [binding.bind_id for binding in await self.live(**filters)]

    async def call(self, caller: str, did: str = X, digits: str | None = None) -> str:
        """Return who is called; empty for nobody, "digits" if digits are needed first."""
        try:
            answer = await routing.query_axb(self.context, caller=caller, did=did, extension=digits)
        except BindingNotFound:
            return ""
        if isinstance(answer, CallAnswer) and answer.bind_type == 4:
            return "digits"
        return answer.callee

    async def explain(self, caller: str, did: str = X, **fields: Any) -> tuple[str, str, str]:
        """Return the callee, the bindId and the reason."""
        found = await explain.explain_call(self.context, caller=caller, did=did, **fields)
        return found.callee, found.bind_id, found.reason

    async def sweep(self) -> None:
        await ending.end_expired(self.context.services)
        await ending.delete_ended(self.context.services)
