import pytest
from tests.conftest import START_MS, FakeClock
from tests.groups.actions import Groups

from openpns.accounts import customers
from openpns.accounts.customers import Customer
from openpns.errors import ConfigError
from openpns.storage.store import Store


async def test_create_makes_an_active_customer_without_groups(
    store: Store, clock: FakeClock
) -> None:
    made = await customers.create(store, clock, "cus_1", "Example GmbH 牛")
    assert made == Customer("cus_1", "Example GmbH 牛", START_MS, None, 0)
    assert await customers.get(store, "cus_1") == made
    assert await customers.list_customers(store) == [made]


async def test_list_customers_returns_oldest_first(store: Store, clock: FakeClock) -> None:
    for customer_id in ("b", "c", "a"):
        clock.now_ms += 1
        await customers.create(store, clock, customer_id, "")
    assert [one.customer_id for one in await customers.list_customers(store)] == ["b", "c", "a"]


async def test_create_refuses_an_id_that_exists(store: Store, clock: FakeClock) -> None:
    made = await customers.create(store, clock, "cus_1", "First")
    with pytest.raises(ConfigError, match="customer cus_1 exists already"):
        await customers.create(store, clock, "cus_1", "Second")
    assert await customers.list_customers(store) == [made]


@pytest.mark.parametrize("customer_id", ["a", "A.b_c-9", "0" * 64])
async def test_create_accepts_ids_of_letters_digits_and_three_signs(
    store: Store, clock: FakeClock, customer_id: str
) -> None:
    await customers.create(store, clock, customer_id, "n" * 128)
    assert (await customers.get(store, customer_id)).name == "n" * 128


@pytest.mark.parametrize("customer_id", ["", "a" * 65, "_a", ".a", "-a", "a b", "ä", "a\n", "a/b"])
async def test_create_refuses_other_ids_and_names_what_is_allowed(
    store: Store, clock: FakeClock, customer_id: str
) -> None:
    with pytest.raises(ConfigError, match="allowed are 1 to 64 letters, digits"):
        await customers.create(store, clock, customer_id, "")
    assert await customers.list_customers(store) == []


@pytest.mark.parametrize("name", ["n" * 129, "a\nb", "\x00"])
async def test_create_refuses_a_long_or_unprintable_name(
    store: Store, clock: FakeClock, name: str
) -> None:
    with pytest.raises(ConfigError, match="name: allowed are at most 128 printable characters"):
        await customers.create(store, clock, "cus_1", name)


async def test_disable_keeps_the_first_time_until_the_customer_is_enabled(
    store: Store, clock: FakeClock
) -> None:
    made = await customers.create(store, clock, "cus_1", "")
    await customers.create(store, clock, "cus_2", "")
    for now_ms in (5, 9):
        assert (await customers.disable(store, "cus_1", now_ms)).disabled_ms == 5
    assert (await customers.get(store, "cus_2")).disabled_ms is None
    assert await customers.disable(store, "cus_1", None) == made


async def test_unknown_customer_is_refused_with_the_command_that_lists_all(
    store: Store,
) -> None:
    for command in (
        customers.get(store, "nobody"),
        customers.disable(store, "nobody", 5),
        customers.disable(store, "nobody", None),
    ):
        with pytest.raises(ConfigError, match=r"'nobody': not found; openpns customers list"):
            await command


async def test_list_customers_counts_groups(mine: Groups, theirs: Groups) -> None:
    group_id = await mine.create([1])
    await mine.create([2])
    await theirs.create([3])
    await mine.drop(group_id)
    await mine.create([4])
    shown = await customers.list_customers(mine.context.services.store)
    assert [(one.customer_id, one.group_count) for one in shown] == [("cus_1", 2), ("cus_2", 1)]
