import pytest
from tests import direct

from openpns.accounts import access_keys, customers
from openpns.accounts.check import check_accounts
from openpns.accounts.secret_box import SecretBox
from openpns.clock import now_ms
from openpns.storage.store import Store


async def _faults(store: Store) -> list[str]:
    found: list[str] = []
    assert (await check_accounts(store, found.append))["accessKeys"] >= 1
    return found


@pytest.mark.parametrize(
    ("column", "text", "name"),
    [
        ("allowed_addresses", "", "addresses"),
        ("allowed_addresses", "198.51.100.7,nonsense", "addresses"),
        ("allowed_addresses", "198.51.100.7/8", "addresses"),
        ("allowed_addresses", ",".join(f"10.0.{n}.0/24" for n in range(200)), "addresses"),
        ("allowed_actions", "", "actions"),
        ("allowed_actions", "listGroup,", "actions"),
        ("allowed_actions", "list group", "actions"),
    ],
)
async def test_list_that_cannot_be_read_is_reported_by_the_begin_of_its_key(
    store: Store, secret_box: SecretBox, database_url: str, column: str, text: str, name: str
) -> None:
    await customers.create(store, now_ms, "cus_1", "")
    await access_keys.create(
        store,
        secret_box,
        now_ms,
        "cus_1",
        access_key="key-with-lists",
        allowed_addresses=["198.51.100.7", "2001:db8::/32"],
        allowed_actions=["listGroup", "getGroup"],
    )
    assert await _faults(store) == []
    await direct.run(
        database_url,
        f"UPDATE access_key SET {column} = '{text}' WHERE access_key = 'key-with-lists'",
    )
    assert await _faults(store) == [f"access key key-with…: its allowed {name} cannot be read"]
