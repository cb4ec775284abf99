import asyncio

import pytest
from tests import direct
from tests.cli.conftest import Run

from openpns.storage import connect

PHONES = "groupName,phones\na,85211111114\nb,\n"


def test_verify_counts_rows(openpns: Run) -> None:
    openpns("groups", "import", "-", "--customer", "cus_1", stdin=PHONES.encode())
    openpns("keys", "create", "--customer", "cus_1")
    done = openpns("verify")
    assert done.out == (
        "verified: customers 1, access keys 1, groups 2, phones 1, virtual numbers 0, bindings 0, "
        "customers held 0, call records 0, webhooks 0, deliveries 0, "
        "audit entries 3, audit unsealed 3\n"
    )
    assert openpns("verify", "--json").json == {
        "customers": 1,
        "accessKeys": 1,
        "groups": 2,
        "phones": 1,
        "virtualNumbers": 0,
        "bindings": 0,
        "customersHeld": 0,
        "callRecords": 0,
        "webhooks": 0,
        "deliveries": 0,
        "auditEntries": 3,
        "auditUnsealed": 3,
        "wrong": 0,
    }


def test_verify_reports_problems_and_exits_with_1(openpns: Run, database_url: str) -> None:
    openpns("groups", "import", "-", "--customer", "cus_1", stdin=PHONES.encode())
    asyncio.run(direct.query(database_url, "UPDATE number_group SET phone_count = 7"))
    done = openpns("verify", code=1)
    assert done.out == ""
    assert "says 7 phones, has 1" in done.err
    assert done.err.splitlines()[-1] == (
        "openpns: wrong: 2, in customers 1, access keys 0, groups 2, phones 1, virtual numbers 0, "
        "bindings 0, customers held 0, call records 0, webhooks 0, deliveries 0, "
        "audit entries 2, audit unsealed 2"
    )
    assert openpns("verify", "--json", code=1).json["wrong"] == 2


def test_verify_shows_only_the_first_problems(openpns: Run, database_url: str) -> None:
    rows = "phones\n" + "85211111114\n" * 50
    openpns("groups", "import", "-", "--customer", "cus_1", stdin=rows.encode())
    asyncio.run(direct.query(database_url, "UPDATE number_group SET phone_count = 7"))
    done = openpns("verify", code=1)
    assert len(done.err.splitlines()) == 21
    assert "wrong: 50," in done.err


def test_verify_refuses_a_database_without_migrations(run: Run) -> None:
    assert "openpns migrate" in run("verify", code=2).err


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        (
            "ALTER TABLE customer ADD COLUMN extra TEXT",
            {
                "sqlite": "table customer is not as",
                "postgres": "column extra on customer is not made",
            },
        ),
        (
            "DROP INDEX access_key_customer",
            {"sqlite": "index access_key_", "postgres": "index btree"},
        ),
    ],
)
def test_verify_refuses_another_schema_and_reads_no_row(
    openpns: Run, database_url: str, sql: str, problem: dict[str, str]
) -> None:
    asyncio.run(direct.run(database_url, sql))
    done = openpns("verify", code=1)
    first, last = done.err.splitlines()
    assert first.startswith(problem[connect.engine_of(database_url)])
    assert last == "openpns: wrong: 1, in the schema; no row was read"
    assert openpns("verify", "--json", code=1).json == {"wrong": 1}
    served = openpns("serve", "--port", "0", code=2)
    assert served.err.startswith(f"openpns: database: {first}; remove what is not made by openpns")


def test_verify_mentions_an_index_of_an_operator(openpns: Run, database_url: str) -> None:
    asyncio.run(direct.run(database_url, "CREATE INDEX own ON number_group (customer_id, remark)"))
    done = openpns("verify")
    assert done.err == "note: index own on number_group is not made by openpns\n"


def test_verify_refuses_a_database_of_a_newer_version(openpns: Run, database_url: str) -> None:
    row = "(99, 'pre', 'x', 'x', 0)"
    columns = "(number, step, file, checksum, applied_ms)"
    asyncio.run(direct.run(database_url, f"INSERT INTO schema_migration {columns} VALUES {row}"))
    done = openpns("verify", code=1)
    assert "migration 99 pre is of a newer version; use that one here" in done.err
