import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Run

import openpns
from openpns.cli.groups import groups
from openpns.cli.lazy import LazyGroup
from openpns.cli.root import cli

ROOT = Path(__file__).parents[2]


def test_help_lists_every_command(run_anywhere: Run) -> None:
    text = run_anywhere("--help").out
    for command in cli.commands:
        assert f"\n  {command} " in text
    assert run_anywhere("-h").out == text


def test_version_is_that_of_the_package(run_anywhere: Run) -> None:
    assert run_anywhere("--version").out == f"openpns, version {openpns.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["migrat"], "No such command 'migrat'"),
        (["keys", "rotat"], "No such command 'rotat'"),
        (["customers", "list", "--jsn"], "No such option"),
        (["customers", "create"], "Missing argument 'CUSTOMER_ID'"),
        (["groups", "import", "--customer", "c"], "Missing argument 'FILE'"),
        (["keys", "create"], "Missing option '--customer'"),
        (["customers", "list"], "Missing option '--database' (env var: 'OPENPNS_DATABASE')"),
        (["quickstart", "--port", "x"], "'x' is not a valid integer"),
    ],
)
def test_usage_error_names_the_error_and_the_help(
    run_anywhere: Run, arguments: list[str], text: str
) -> None:
    done = run_anywhere(*arguments, code=2)
    assert text in done.err
    assert "--help' for help" in done.err
    assert done.out == ""


def test_wrong_setting_is_one_line_and_exit_code_2(run_anywhere: Run) -> None:
    done = run_anywhere("customers", "list", "--database", "mysql://u:hunter22@h/d", code=2)
    assert done.err.startswith(
        "openpns: database: not a URL that openpns knows; allowed are sqlite"
    )
    assert done.err.count("\n") == 1
    assert "hunter22" not in done.err


def test_missing_database_is_one_line_and_exit_code_2(run_anywhere: Run) -> None:
    done = run_anywhere("keys", "list", "--database", "sqlite:////no/such/folder.db", code=2)
    assert done.err == (
        "openpns: database: /no/such/folder.db does not exist; make it with: openpns migrate "
        "--database URL\n"
    )


def test_help_of_client_commands_works_without_the_servers_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = [
        line.split(">")[0].replace("-", "_") for line in project["optional-dependencies"]["server"]
    ]
    code = f"import sys; sys.modules.update(dict.fromkeys({extra!r}))\n"
    code += "from openpns.cli.main import main; main()"
    for command in ([], ["serve"], ["groups", "import"], ["doctor"], ["request"], ["sign"]):
        text = subprocess.check_output([sys.executable, "-c", code, *command, "--help"], text=True)
        assert "Usage: " in text


def test_help_imports_no_command() -> None:
    code = "import sys; from openpns.cli.root import cli; cli(['--help'], standalone_mode=False)\n"
    code += "print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"asyncio", "msgspec", "httpx2", "openpns.cli.options"} & {*loaded}


@pytest.mark.parametrize("group", [cli, groups], ids=["openpns", "groups"])
def test_short_help_in_an_overview_agrees_with_the_command(group: LazyGroup) -> None:
    for name, (_, short_help) in group.lazy.items():
        command = group.get_command(click.Context(group), name)
        assert command
        assert command.name == name
        assert command.help
        first = command.help.split("\n", maxsplit=1)[0].split(";")[0].split(" (")[0]
        assert short_help.split()[0] == first.split()[0]
