"""Counts of call records and deliveries that differ from the rows."""

import asyncio

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings
from tests.call_records.actions import Calls

from openpns.call_records.counts import check_counts, recount
from openpns.core import usage
from openpns.errors import EntryNotFound


async def test_counts_that_differ_are_found_and_corrected(
    mine: Bindings, theirs: Bindings, calls: Calls, query: direct.Query, webhook: None
) -> None:
    await mine.bind(A, B)
    for _ in range(3):
        await calls.call()
    store = calls.context.store
    await check_counts(store, pytest.fail)
    assert await recount(store, "cus_1") == {"callRecords": 0, "deliveries": 0}
    await query("DELETE FROM customer_usage WHERE name = 'callRecords'")
    await query("UPDATE customer_usage SET count = count + 4")
    await query(
        "INSERT INTO customer_usage (customer_id, name, worker_id, count) "
        "VALUES ('cus_2', 'deliveries', 1, -1)"
    )
    found: list[str] = []
    await check_counts(store, found.append)
    assert [text.partition(";")[0] for text in sorted(found)] == [
        "customer cus_1: its quota counts 0 call records, there are 3",
        "customer cus_1: its quota counts 7 deliveries, there are 3",
        "customer cus_2: its quota counts -1 deliveries, there are 0",
    ]
    # Only one of two at once corrects them.
    both = await asyncio.gather(recount(store, "cus_1"), recount(store, "cus_1"))
    assert {"callRecords": 3, "deliveries": -4} in both
    assert await recount(store, "cus_2") == {"callRecords": 0, "deliveries": 1}
    used = await usage.get(calls.context)
    assert (used.call_records, used.deliveries) == (3, 3)
    await check_counts(store, pytest.fail)
    with pytest.raises(EntryNotFound):
        await recount(store, "cus_9")
