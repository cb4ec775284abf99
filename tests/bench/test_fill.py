"""What the benchmark writes straight by SQL is what the domain would have written."""

from bench.fill import Holding, fill, group_id
from tests.conftest import FakeClock

from openpns import limits
from openpns.core.context import Caller, Services
from openpns.groups import listing, service, update
from openpns.groups.wire import DeleteGroup, ListGroup, UpdateGroup
from openpns.ids import Snowflake
from openpns.storage import connect

LONG = limits.PHONES_IN_CHUNK * 2 + 5


async def test_filled_groups_are_listed_changed_and_deleted_as_any_other(
    database_url: str,
) -> None:
    await fill(
        database_url, [Holding("short-ones", 5), Holding("long-ones", 2, LONG), Holding("none", 0)]
    )
    store = await connect.open_store(database_url)
    services = Services(store, Snowflake(FakeClock(), worker_id=1), FakeClock())

    async def phones(customer: str, total: int) -> list[list[str]]:
        page = await listing.list(services, Caller("key", customer), ListGroup(limit=0, offset=0))
        assert page.total == total
        return [row[3].split(",") for row in page.rows]

    try:
        assert (await phones("short-ones", 5))[1] == [
            "8613000000003",
            "8613000000004",
            "8613000000005",
        ]
        assert await phones("none", 0) == []
        first, second = await phones("long-ones", 2)
        assert first == [f"8613{number:09}" for number in range(LONG)]
        caller = Caller("key", "long-ones")
        last = group_id("long-ones", 1)
        # Finds the number among the members, and writes the text anew from them.
        change = UpdateGroup(groupId=last, operateType=1, phones=second[0])
        await update.update(services, caller, change)
        assert (await phones("long-ones", 2))[1] == second[1:]
        await service.delete(services, caller, DeleteGroup(groupId=group_id("long-ones", 0)))
        assert await phones("long-ones", 1) == [second[1:]]
    finally:
        await store.close()
