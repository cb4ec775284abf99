"""The rows that the benchmark writes by SQL are those that openpns would have written."""

import pytest
from bench.fill import Holding, fill, group_id
from tests.conftest import FakeClock
from tests.groups.actions import Groups

from openpns.api.registry import CHECKS
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.core.verify import verify
from openpns.groups.phone_chunks import PHONES_IN_CHUNK
from openpns.ids import Snowflake
from openpns.storage import connect

LONG = PHONES_IN_CHUNK * 2 + 5


async def test_filled_groups_behave_like_any_other(database_url: str) -> None:
    await fill(
        database_url, [Holding("short-ones", 5), Holding("long-ones", 2, LONG), Holding("none", 0)]
    )
    store = await connect.open_store(database_url)
    services = Services(store, Snowflake(FakeClock(), worker_id=1), FakeClock())

    def groups(customer: str) -> Groups:
        return Groups(Context(services, Principal("key", customer)))

    async def phones(customer: str, total: int) -> list[list[str]]:
        found, rows = await groups(customer).page()
        assert found == total
        return [row[3].split(",") for row in rows]

    try:
        assert (await verify(store, CHECKS, pytest.fail))["wrong"] == 0
        assert (await phones("short-ones", 5))[1] == [
            "8613000000003",
            "8613000000004",
            "8613000000005",
        ]
        assert await phones("none", 0) == []
        first, second = await phones("long-ones", 2)
        assert first == [f"8613{number:09}" for number in range(LONG)]
        long_ones, last = groups("long-ones"), group_id("long-ones", 1)
        # Finds the phone among the members, and rewrites the text from them.
        await long_ones.change(last, operate_type=1, phones=second[0])
        assert (await phones("long-ones", 2))[1] == second[1:]
        await long_ones.drop(group_id("long-ones", 0))
        assert await phones("long-ones", 1) == [second[1:]]
    finally:
        await store.close()
