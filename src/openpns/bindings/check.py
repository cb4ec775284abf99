"""What `openpns verify` checks of virtual numbers and bindings.

The database compares the rows: each statement returns only what contradicts itself, and sees one
snapshot. So memory holds some faults, however many bindings there are.
"""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

from openpns.clock import now_ms
from openpns.core.verify import Report
from openpns.phones import mask_phone
from openpns.storage.store import Store

_ROWS_EACH = 1000


async def check_bindings(store: Store, report: Report) -> Mapping[str, int]:
    """Check seats and counts, and that no phone has two live bindings on a virtual number."""
    ((numbers, bindings, held),) = await store.fetch("binding_check_counts", {})
    for name, describe in _CHECKS.items():
        params = {"now_ms": now_ms()} if name in _OF_LIVE else {}
        async with aclosing(store.stream(name, params, _ROWS_EACH)) as slices:
            async for rows in slices:
                for row in rows:
                    for text in describe(*row):
                        report(text)
    return {"virtualNumbers": numbers, "bindings": bindings, "customersHeld": held}


def _describe_customer(customer_id: str, counted: int, found: int) -> list[str]:
    if counted == found:
        return [f"customer {customer_id}: the next place of its bindings is taken"]
    return [f"customer {customer_id}: its total says {counted} bindings, there are {found}"]


def _describe_number(customer_id: str, did: str) -> list[str]:
    where = f"customer {customer_id}: {mask_phone(did)}"
    return [f"{where} is in one of virtual_number and number_load only"]


def _describe_stranger(customer_id: str, did: str) -> list[str]:
    where = f"customer {customer_id}: bindings stand on {mask_phone(did)}"
    return [f"{where}, which it does not have"]


def _describe_load(
    customer_id: str, did: str, is_miscounted: int, is_open_wrongly: int
) -> list[str]:
    where = f"customer {customer_id}, virtual number {mask_phone(did)}"
    texts = []
    if is_miscounted:
        texts.append(f"{where}: its bindings are miscounted")
    if is_open_wrongly:
        texts.append(f"{where}: it is open for bindings but not active, or not")
    return texts


def _describe_group(customer_id: str, group_seq: int) -> list[str]:
    what = "the bindings of a group are miscounted"
    return [f"customer {customer_id}: {what} (place {group_seq})"]


def _describe_kind(customer_id: str, seq: int) -> list[str]:
    return [f"customer {customer_id}: binding {seq} has a group but is not axg, or not"]


def _describe_seat(customer_id: str, did: str, seq: int) -> list[str]:
    where = f"customer {customer_id}: a place on {mask_phone(did)}"
    return [f"{where} belongs to no binding ({seq})"]


def _describe_held(customer_id: str, did: str, seq: int) -> list[str]:
    what = f"binding {seq} does not hold its place on {mask_phone(did)}"
    return [f"customer {customer_id}: {what}"]


def _describe_shared(customer_id: str, did: str, bind_id: str) -> list[str]:
    what = f"a phone of its group has another live binding on {mask_phone(did)}"
    return [f"customer {customer_id}, binding {bind_id}: {what}"]


_CHECKS: Final[Mapping[str, Callable[..., list[str]]]] = {
    "binding_check_customer": _describe_customer,
    "binding_check_number": _describe_number,
    "binding_check_stranger": _describe_stranger,
    "binding_check_load": _describe_load,
    "binding_check_group": _describe_group,
    "binding_check_kind": _describe_kind,
    "binding_check_seat": _describe_seat,
    "binding_check_held": _describe_held,
    "binding_check_shared": _describe_shared,
}
"""The statements, and what a row of each means."""

_OF_LIVE: Final = ("binding_check_group", "binding_check_held", "binding_check_shared")
"""Those that need the time: it is read before each, so that bindings which end meanwhile count."""
