"""What `openpns verify` checks of virtual numbers and bindings.

Memory holds a few values for each virtual number, binding and bound group.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from openpns.bindings.rows import seats_of
from openpns.bindings.wire import AXG, EXTENSION
from openpns.clock import now_ms
from openpns.core.verify import Report
from openpns.numbers.service import RESTING
from openpns.numbers.wire import ACTIVE
from openpns.phones import mask_phone
from openpns.storage.store import Store

_ROWS_EACH = 1000


async def check_bindings(store: Store, report: Report) -> Mapping[str, int]:
    """Check seats and counts, and that no phone has two live bindings on a virtual number."""
    at_ms = now_ms()
    check = _Check(report, at_ms)
    async with aclosing(store.stream("binding_check", {}, _ROWS_EACH)) as slices:
        async for rows in slices:
            for kind, *columns in rows:
                getattr(check, f"take_{kind}")(*columns)
    counts = check.end()
    shared = await store.fetch("binding_check_shared", {"now_ms": at_ms})
    for customer_id, did, bind_id in shared:
        report(
            f"customer {customer_id}, binding {bind_id}: a phone of its group has another live "
            f"binding on {mask_phone(did)}"
        )
    return counts


class _Check:
    """Takes the rows of binding_check in any order."""

    def __init__(self, report: Report, at_ms: int) -> None:
        self._report = report
        self._at_ms = at_ms
        self._states: dict[tuple[str, str], str] = {}
        self._loads: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._counted: dict[str, tuple[int, int]] = {}
        self._of_customer: Counter[str] = Counter()
        self._seq_max: dict[str, int] = {}
        self._on_number: Counter[tuple[str, str]] = Counter()
        self._digits: Counter[tuple[str, str]] = Counter()
        self._of_group: Counter[tuple[str, int]] = Counter()
        self._live_groups: set[tuple[str, int]] = set()
        self._bound: dict[tuple[str, int], int] = {}
        self._seats: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._wanted: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        self._held = 0

    def take_number(self, customer_id: str, did: str, _: None, state: str, *__: Any) -> None:
        self._states[customer_id, did] = state

    def take_load(
        self, customer_id: str, did: str, _: None, __: str, ___: str, ____: str, *counts: int
    ) -> None:
        is_open, bindings, extensions = counts
        self._loads[customer_id, did] = is_open, bindings, extensions

    def take_count(
        self,
        customer_id: str,
        _: str,
        __: None,
        ___: str,
        ____: str,
        _____: str,
        held_ms: int | None,
        count: int,
        next_seq: int,
    ) -> None:
        self._counted[customer_id] = count, next_seq
        self._held += held_ms is not None

    def take_binding(
        self,
        customer_id: str,
        did: str,
        seq: int,
        kind: str,
        phone_a: str,
        other: str,
        group_seq: int | None,
        until_ms: int,
        _: int,
    ) -> None:
        self._of_customer[customer_id] += 1
        self._seq_max[customer_id] = max(seq, self._seq_max.get(customer_id, -1))
        self._on_number[customer_id, did] += 1
        self._digits[customer_id, did] += kind == EXTENSION
        if (kind == AXG) != (group_seq is not None):
            self._report(
                f"customer {customer_id}: binding {seq} has a group but is not axg, or not"
            )
        if group_seq is not None:
            self._of_group[customer_id, group_seq] += 1
            if until_ms > self._at_ms:
                self._live_groups.add((customer_id, group_seq))
        for place in seats_of(kind, phone_a, other, other):
            self._wanted.setdefault((customer_id, place, did), []).append((seq, until_ms))

    def take_seat(
        self,
        customer_id: str,
        did: str,
        seq: int,
        _: str,
        place: str,
        __: str,
        ___: None,
        until_ms: int,
        ____: int,
    ) -> None:
        self._seats[customer_id, place, did] = seq, until_ms

    def take_group(
        self,
        customer_id: str,
        _: str,
        __: None,
        ___: str,
        ____: str,
        _____: str,
        group_seq: int,
        count: int,
        ______: int,
    ) -> None:
        self._bound[customer_id, group_seq] = count

    def end(self) -> Mapping[str, int]:
        """Check what needs all rows; return what was counted."""
        self._check_customers()
        self._check_numbers()
        self._check_groups()
        self._check_seats()
        in_use = sum(state != RESTING for state in self._states.values())
        return {
            "virtualNumbers": in_use,
            "bindings": self._of_customer.total(),
            "customersHeld": self._held,
        }

    def _check_customers(self) -> None:
        for customer_id in self._of_customer.keys() | self._counted.keys():
            count, next_seq = self._counted.get(customer_id, (0, 0))
            if count != self._of_customer[customer_id]:
                self._report(
                    f"customer {customer_id}: its total says {count} bindings, there are "
                    f"{self._of_customer[customer_id]}"
                )
            elif self._seq_max.get(customer_id, -1) >= next_seq:
                self._report(f"customer {customer_id}: the next place of its bindings is taken")

    def _check_numbers(self) -> None:
        in_use = {key for key, state in self._states.items() if state != RESTING}
        for customer_id, did in in_use ^ self._loads.keys():
            self._report(
                f"customer {customer_id}: {mask_phone(did)} is in one of virtual_number and "
                "number_load only"
            )
        for customer_id, did in self._on_number.keys() - self._loads.keys():
            self._report(
                f"customer {customer_id}: bindings stand on {mask_phone(did)}, which it does not "
                "have"
            )
        for key, (is_open, bindings, extensions) in self._loads.items():
            where = f"customer {key[0]}, virtual number {mask_phone(key[1])}"
            if (bindings, extensions) != (self._on_number[key], self._digits[key]):
                self._report(f"{where}: its bindings are miscounted")
            if key in in_use and bool(is_open) != (self._states[key] == ACTIVE):
                self._report(f"{where}: it is open for bindings but not active, or not")

    def _check_groups(self) -> None:
        # A group may be deleted once its bindings have run out, before they are ended.
        for key in self._bound.keys() | self._live_groups:
            if self._bound.get(key) != self._of_group[key]:
                self._report(
                    f"customer {key[0]}: the bindings of a group are miscounted (place {key[1]})"
                )

    def _check_seats(self) -> None:
        for (customer_id, place, did), held in self._seats.items():
            if held not in self._wanted.get((customer_id, place, did), []):
                self._report(
                    f"customer {customer_id}: a place on {mask_phone(did)} belongs to no binding "
                    f"({held[0]})"
                )
        for (customer_id, place, did), wanted in self._wanted.items():
            held_by, _ = self._seats.get((customer_id, place, did), (-1, 0))
            for seq, until_ms in wanted:
                # The place of one that has run out may be another's, or free again.
                if until_ms > self._at_ms and seq != held_by:
                    self._report(
                        f"customer {customer_id}: binding {seq} does not hold its place on "
                        f"{mask_phone(did)}"
                    )
