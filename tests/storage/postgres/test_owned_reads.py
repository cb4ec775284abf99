"""Keys are looked up in the shards of their customers; Citus itself is not needed."""

from collections.abc import Sequence
from typing import Any

from openpns.storage.postgres.owned_reads import OwnedReads
from openpns.storage.statements import NamedStatement, load_statements
from openpns.storage.store import Params

STATEMENTS = load_statements("citus")


class Database:
    """Access keys with their customers, and the statements that were run."""

    def __init__(self, **owners: str) -> None:
        self.owners = owners
        self.run: list[tuple[str, list[str]]] = []
        find = STATEMENTS["key_find"]
        assert find.owner_of is not None
        self.reads = OwnedReads(self._read, find, STATEMENTS[find.owner_of], "access_key")

    async def _read(self, statement: NamedStatement, params: Params) -> Sequence[Any]:
        assert set(params) == set(statement.parameters)
        customers = params.get("customer_ids")
        self.run.append((statement.name, sorted(customers or params["access_key"])))
        return [
            {"access_key": key, "customer_id": owner}
            for key, owner in self.owners.items()
            if key in params["access_key"] and (customers is None or owner in customers)
        ]

    async def find(self, *keys: str) -> list[str]:
        return [f"{row['access_key']}={row['customer_id']}" for row in await self.reads.read(keys)]


async def test_the_customer_of_a_key_is_read_once() -> None:
    database = Database(a="cus_1", b="cus_2")
    assert await database.find("a") == ["a=cus_1"]
    assert await database.find("a", "b") == ["a=cus_1", "b=cus_2"]
    assert await database.find("b", "a") == ["a=cus_1", "b=cus_2"]
    assert database.run == [
        ("key_owner_find", ["a"]),
        ("key_find", ["cus_1"]),
        ("key_find", ["cus_1"]),
        ("key_owner_find", ["b"]),
        ("key_find", ["cus_2"]),
        ("key_find", ["cus_1", "cus_2"]),
    ]


async def test_an_unknown_key_has_no_row() -> None:
    assert await Database(a="cus_1").find("x") == []
    assert await Database(a="cus_1").find("a", "x") == ["a=cus_1"]


async def test_a_key_of_another_customer_than_before_is_found() -> None:
    database = Database(a="cus_1")
    await database.find("a")
    database.owners["a"] = "cus_2"
    assert await database.find("a") == ["a=cus_2"]
