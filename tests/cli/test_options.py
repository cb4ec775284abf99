import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from tests import direct
from tests.cli.conftest import Run

from openpns.cli.options import format_time


def test_format_time_is_utc_and_a_dash_for_none() -> None:
    assert format_time(1_670_479_632_933) == "2022-12-08 06:07:12Z"
    assert format_time(None) == "-"
    assert format_time(2**63 - 1) == format_time(-(2**63)) == "?"


@pytest.fixture
async def other_url(postgres_url: str) -> AsyncIterator[str]:
    """The URL of the database for a role that has no right but to connect."""
    role = f"nobody_{secrets.token_hex(4)}"  # roles are of the whole server
    await direct.run(postgres_url, f"CREATE ROLE {role} LOGIN")
    yield re.sub("//[^@/]*@", f"//{role}@", postgres_url)
    await direct.run(postgres_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


COMMANDS = [
    ["audit"], ["keys", "list"], ["verify"], ["serve", "--port", "0"], ["customers", "list"],
]  # fmt: skip


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_command_of_a_role_without_rights_names_the_missing_one(
    run_anywhere: Run, postgres_url: str, other_url: str, command: list[str]
) -> None:
    done = run_anywhere(*command, "--database", other_url, code=2)
    assert done.err == (
        "openpns: database: permission denied for table schema_migration (SELECT); grant that to "
        "the user of the URL, or use the owner of the tables\n"
    )
    role = other_url.partition("//")[2].partition("@")[0]
    asyncio.run(direct.run(postgres_url, f"GRANT SELECT ON schema_migration TO {role}"))
    done = run_anywhere(*command, "--database", other_url, code=2)
    assert re.fullmatch(
        r"openpns: database: permission denied for table (audit_entry|access_key|customer_state|"
        r"customer|master_key_check) \(SELECT\); grant .*\n",
        done.err,
    )


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("command", [["migrate"], *COMMANDS], ids=lambda command: command[0])
def test_command_of_a_role_that_may_not_use_the_schema_names_the_schema(
    run_anywhere: Run, postgres_url: str, other_url: str, command: list[str]
) -> None:
    asyncio.run(direct.run(postgres_url, "REVOKE USAGE ON SCHEMA public FROM PUBLIC"))
    done = run_anywhere(*command, "--database", other_url, code=2)
    assert done.err == (
        "openpns: database: permission denied for schema public; grant USAGE on it to the user of "
        "the URL\n"
    )


def test_migrate_of_a_role_that_may_not_create_tables_names_the_schema(
    run_anywhere: Run, other_url: str
) -> None:
    done = run_anywhere("migrate", "--database", other_url, code=2)
    assert done.err == ("openpns: database: cannot migrate: permission denied for schema public\n")


AWAY = "postgresql://u:geheim@127.0.0.1:1/n"


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        ["migrate"],
        ["migrate", "--check"],
        ["worker"],
        ["numbers", "show", "85290000001"],
        ["bindings", "hold"],
        ["webhooks", "show"],
        ["webhooks", "test", "--customer", "cus_1"],
        ["call-records", "list", "--customer", "cus_1"],
        ["groups", "export", "-", "--customer", "cus_1"],
    ],
    ids=" ".join,
)
def test_command_whose_database_is_away_exits_with_unavailable(
    run_anywhere: Run, command: list[str]
) -> None:
    done = run_anywhere(*command, "--database", AWAY, code=6)
    assert done.err.startswith(
        "openpns: database: cannot connect to PostgreSQL: '127.0.0.1' port 1: nothing"
    )
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["groups", "list"],
        ["groups", "find"],
        ["bindings", "list"],
        ["call-records", "list"],
        ["webhooks", "deliveries"],
    ],
    ids=" ".join,
)
def test_two_formats_exclude_each_other(run_anywhere: Run, command: list[str]) -> None:
    forms = {form: form for form in ("--json", "--csv", "--spreadsheet")} | {"-q": "--quiet"}
    shown = run_anywhere(*command, "--help").out
    known = [form for form in forms if f" {form}" in shown]
    assert len(known) > 1
    for first, second in pairwise(known):
        for pair in ([first, second], [second, first]):
            done = run_anywhere(*command, *pair, code=2)
            assert f"Error: {forms[first]} and {forms[second]} exclude each other.\n" in done.err
