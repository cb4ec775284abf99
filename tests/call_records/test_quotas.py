"""How many call records and deliveries a customer may have."""

import asyncio
import dataclasses
from collections import Counter

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C
from tests.call_records.actions import Calls
from tests.conftest import FakeClock

from openpns import limits
from openpns.accounts import customers
from openpns.call_records import retention
from openpns.call_records.listing import call_record_limits
from openpns.core import usage
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.deliveries import endpoints
from openpns.deliveries import retention as deliveries_retention
from openpns.errors import QuotaExceeded
from openpns.ids import Snowflake
from openpns.routing import traces
from openpns.routing.outcomes import CALLS_OMITTED
from openpns.storage.store import Statement, Store, Transaction


async def counts(calls: Calls, query: direct.Query) -> tuple[int, int]:
    """Return how many records and deliveries are counted, which are as many as there are."""
    used = await usage.get(calls.context)
    for name, count in (("call_record", used.call_records), ("delivery", used.deliveries)):
        assert await query(f"SELECT count(*) FROM {name} WHERE customer_id = 'cus_1'") == [(count,)]
    return used.call_records, used.deliveries


async def test_report_beyond_the_quota_is_refused_until_there_is_room(
    mine: Bindings, calls: Calls, query: direct.Query, clock: FakeClock, webhook: None
) -> None:
    await mine.bind(A, B)
    small = calls.with_services(call_records_per_customer_max=2, call_records_kept_days=1)
    first = await small.call()
    await small.call()
    call_id = await small.ask()
    with pytest.raises(QuotaExceeded, match="quota of call records"):
        await small.report(call_id)
    assert await counts(small, query) == (2, 2)
    assert await small.report(first.call_id) == first.id
    clock.now_ms += limits.DAY_MS
    await retention.delete_old(small.context.services)
    assert await counts(small, query) == (0, 2)
    await small.report(call_id)
    assert await counts(small, query) == (1, 3)
    await retention.prune(small.context.store, 2**40, "cus_1")
    assert await counts(small, query) == (0, 3)


async def test_report_whose_delivery_is_beyond_the_quota_is_refused(
    mine: Bindings, calls: Calls, query: direct.Query, clock: FakeClock, webhook: None
) -> None:
    await mine.bind(A, B)
    small = calls.with_services(deliveries_per_customer_max=1, deliveries_kept_days=1)
    await small.call()
    with pytest.raises(QuotaExceeded, match="quota of deliveries"):
        await small.call()
    clock.now_ms += limits.DAY_MS
    await deliveries_retention.delete_old(small.context.services)
    assert await counts(small, query) == (1, 0)
    await small.call()
    await endpoints.remove(small.context.store, "cus_1")
    assert await counts(small, query) == (2, 0)
    for _ in range(2):  # without a webhook there are no deliveries
        await small.call()
    assert await counts(small, query) == (4, 0)


async def test_customer_may_have_quotas_of_its_own(mine: Bindings, calls: Calls) -> None:
    await mine.bind(A, B)
    store = calls.context.store
    own = {"groups": None, "phones": None, "num_bytes": None}
    await customers.set_quotas(store, "cus_1", **own, call_records=1, deliveries=0)
    await calls.call()
    with pytest.raises(QuotaExceeded):
        await calls.call()
    shown = {one.name: (one.max, one.used) for one in await call_record_limits(calls.context)}
    assert (shown["callRecords"], shown["deliveries"]) == ((1, 1), (None, 0))
    await customers.set_quotas(store, "cus_1", **own, call_records=0)
    await calls.with_services(call_records_per_customer_max=1).call()


async def test_reports_to_several_workers_are_counted_together(
    mine: Bindings, calls: Calls, query: direct.Query, clock: FakeClock, webhook: None
) -> None:
    await mine.bind(A, B)
    workers = [calls.with_services(ids=Snowflake(clock, worker_id)) for worker_id in (1, 2, 3)]
    call_ids = [await calls.ask() for _ in range(12)]
    await traces.store(calls.context.services)
    await asyncio.gather(*(workers[n % 3].report(one) for n, one in enumerate(call_ids * 2)))
    assert await counts(calls, query) == (12, 12)


async def test_calls_without_a_binding_leave_a_part_of_the_quota_to_records(
    mine: Bindings, calls: Calls, query: direct.Query, webhook: None
) -> None:
    await mine.bind(A, B)
    await query("UPDATE webhook SET kinds = 'callRecord,unboundCall'")
    counted: Counter[str] = Counter()
    small = calls.with_services(
        deliveries_per_customer_max=4, count=lambda name, number: counted.update({name: number})
    )
    for _ in range(5):
        await small.ask(C)
        await traces.store(small.context.services)
    assert await counts(small, query) == (0, 3)
    assert counted[CALLS_OMITTED] == 2
    assert await query("SELECT count(*) FROM call_trace") == [(5,)]
    await small.call()
    with pytest.raises(QuotaExceeded, match="quota of deliveries"):
        await small.call()
    await query("UPDATE webhook SET kinds = 'unboundCall'")
    await small.call()  # no delivery would be stored
    assert await counts(small, query) == (2, 4)


async def test_quotas_of_many_customers_are_read_in_one_statement(
    store: Store, services: Services, stranger: Context, principal: Principal
) -> None:
    full, room = principal.customer_id, stranger.customer_id
    small = dataclasses.replace(services, deliveries_per_customer_max=4)
    assert isinstance(
        next(usage.find_full(small, [full, room])), Statement
    )  # a combined one takes seconds for a thousand

    def add() -> Transaction[set[str]]:
        for worker_id in range(4):
            yield usage.add(full, usage.DELIVERIES, 1, worker_id)
            yield usage.add(room, usage.CALL_RECORDS, 9, worker_id)
        return (yield from usage.find_full(small, [full, room, "cus_0"]))

    assert await store.write(add) == {full}


async def test_rows_of_several_customers_are_changed_in_the_order_of_the_customers(
    store: Store, database_url: str
) -> None:
    names = ["cus_1", "cus_2", "cus_3"]

    def add() -> Transaction[None]:
        for name in names:
            yield usage.add(name, usage.DELIVERIES, 5, 3)

    def delete() -> Transaction[None]:
        yield usage.delete(usage.DELIVERIES, reversed(names), 3)

    await store.write(add)
    if database_url.startswith("postgres"):
        locked = "SELECT FROM customer_usage WHERE customer_id = '{}' FOR UPDATE{}"
        async with direct.holding(database_url, locked.format("cus_1", "")):
            deleting = asyncio.create_task(store.write(delete))
            await direct.until_waiting(database_url, 1)
            await direct.query(database_url, locked.format("cus_3", " NOWAIT"))
        await deleting
    else:  # one writer: there is no order
        await store.write(delete)
    counted = await direct.query(database_url, "SELECT count FROM customer_usage")
    assert counted == [(4,)] * 3
