"""The call records that the benchmark writes by SQL are those that openpns would have written."""

import pytest
from bench.fill import Holding, fill
from bench.fill_records import FIRST_S, call_id, did, fill_records, phone
from tests.bindings.actions import A, B, Bindings, X
from tests.call_records.actions import Calls
from tests.conftest import FakeClock

from openpns.api.registry import CHECKS
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.core.verify import verify
from openpns.ids import Snowflake
from openpns.storage import connect


async def test_filled_records_behave_like_any_other(database_url: str) -> None:
    await fill(database_url, [Holding("some-calls", 0), Holding("more-calls", 0)])
    assert (await fill_records(database_url, "some-calls", 20)).after > 0
    sizes = await fill_records(database_url, "more-calls", 100)
    assert sizes.after >= sizes.before
    store = await connect.open_store(database_url)
    try:
        assert (await verify(store, CHECKS, pytest.fail))["callRecords"] == 120
        services = Services(store, Snowflake(FakeClock(), worker_id=1), FakeClock())
        calls = Calls(Context(services, Principal("key", "more-calls")))
        found = await calls.get(call_id(100, 42))
        assert (found.start_at, found.did, found.caller) == (FIRST_S + 42, did(42), phone(42, 100))
        assert len(await calls.ids(phone=phone(42, 100))) == 20
        assert len(await calls.ids(bind_id=found.bind_id)) == 3
        assert await calls.ids(did=did(42), phone=phone(42, 100)) == [found.id]
        bindings = Bindings(calls.context)
        await bindings.add(X)
        await bindings.bind(A, B)
        assert (await calls.call()).id > max(await calls.ids(until=FIRST_S + 1000))
    finally:
        await store.close()
