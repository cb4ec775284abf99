import asyncio

from tests import direct
from tests.cli.conftest import Run

PHONES = "groupName,phones\na,85211111114\nb,\n"


def test_verify_counts_rows(openpns: Run) -> None:
    openpns("groups", "import", "-", "--customer", "cus_1", stdin=PHONES.encode())
    openpns("keys", "create", "--customer", "cus_1")
    done = openpns("verify")
    assert done.out == (
        "verified: customers 1, access keys 1, groups 2, phones 1, audit entries 3, "
        "audit unsealed 3\n"
    )
    assert openpns("verify", "--json").json == {
        "customers": 1,
        "accessKeys": 1,
        "groups": 2,
        "phones": 1,
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
        "Error: wrong: 2, in customers 1, access keys 0, groups 2, phones 1, audit entries 2, "
        "audit unsealed 2"
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
