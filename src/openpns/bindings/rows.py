"""A stored binding, and how its time is judged."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from openpns.bindings.wire import AXB, EXTENSION, Binding, BindingDetail
from openpns.core.context import Context
from openpns.errors import BindingNotFound, ParameterError
from openpns.storage.store import Row, Statement, as_struct

NEVER_MS: Final = 2**62
"""The end of a binding that never runs out."""


class StoredBinding(msgspec.Struct, frozen=True):
    """A row of binding_find."""

    bind_id: str
    customer_bind_id: str
    binding_seq: int
    kind: str
    business_id: str
    did: str
    phone_a: str
    phone_b: str
    extension: str
    group_id: str
    group_seq: int | None
    flag: int
    live_until_ms: int
    created_ms: int
    last_call_ms: int
    body_digest: str

    def __repr__(self) -> str:  # without the phones
        return f"StoredBinding({self.bind_id!r})"

    def is_live(self, now_ms: int) -> bool:
        """Return whether it has not run out."""
        return now_ms < self.live_until_ms


def live_until_ms(now_ms: int, expire_second: int) -> int:
    """Return the end of a binding: whole seconds since 1970, in ms."""
    return (-(-now_ms // 1000) + expire_second) * 1000 if expire_second else NEVER_MS


def expire_at(live_until_ms: int) -> int:
    """Return the end of a binding as the wire has it: in s since 1970, 0 for never."""
    return 0 if live_until_ms == NEVER_MS else live_until_ms // 1000


def digits_seat(extension: str) -> str:
    """Return the place that digits hold on a virtual number, as a phone does."""
    return f"#{extension}"


def seats_of(kind: str, phone_a: str, phone_b: str, extension: str) -> Sequence[str]:
    """Return the seats that a binding holds on its virtual number."""
    if kind == EXTENSION:
        return (digits_seat(extension),)
    return (phone_a, phone_b) if kind == AXB else (phone_a,)


def find_statement(
    context: Context, bind_id: str | None, customer_bind_id: str | None
) -> Statement:
    """Return the statement that finds a binding by its ids; an empty id is a missing one.

    Raises:
        ParameterError: No id is given.
    """
    if not (bind_id or customer_bind_id):
        raise ParameterError("bindId or customerBindId is required")
    return Statement(
        "binding_find",
        {
            "customer_id": context.customer_id,
            "bind_id": bind_id or None,
            "customer_bind_id": customer_bind_id or None,
        },
    )


def take_live(
    rows: Sequence[Row], bind_id: str | None, customer_bind_id: str | None, now_ms: int
) -> StoredBinding:
    """Return the live binding among the rows of `find_statement` that has all ids that were given.

    Raises:
        BindingNotFound: There is none.
    """
    for row in rows:
        binding = as_struct(StoredBinding, row)
        if (
            binding.is_live(now_ms)
            and bind_id in (None, "", binding.bind_id)
            and customer_bind_id in (None, "", binding.customer_bind_id)
        ):
            return binding
    raise BindingNotFound


def as_wire(customer_id: str, row: Sequence[Any]) -> Binding:
    """Return a row of a list of bindings as the wire has it."""
    business_id, bind_id, customer_bind_id, phone_a, phone_b, did, flag, until_ms, extension = row
    return Binding(
        customer_id,
        business_id,
        bind_id,
        customer_bind_id,
        phone_a,
        phone_b,
        did,
        flag,
        expire_at(until_ms),
        extension,
    )


def as_detail(customer_id: str, binding: StoredBinding) -> BindingDetail:
    """Return a stored binding as getBinding returns it."""
    return BindingDetail(
        customer_id,
        binding.business_id,
        binding.bind_id,
        binding.customer_bind_id,
        binding.phone_a,
        binding.phone_b,
        binding.did,
        binding.flag,
        expire_at(binding.live_until_ms),
        binding.extension,
        binding.kind,
        binding.group_id,
        binding.created_ms // 1000,
        binding.last_call_ms // 1000,
    )
