import pytest
from tests.cli.conftest import Run, SharedServer
from tests.helpers import on_sqlite_only

pytestmark = on_sqlite_only

OLD, NEW = "85211111114", "8613800138000"
# What each command does to a group that holds OLD alone, with OLD and NEW.
CHANGES = {
    "add": {"added": 1, "removed": 0, "unchanged": 1, "count": 2},
    "remove": {"added": 0, "removed": 1, "unchanged": 1, "count": 0},
    "replace": {"added": 1, "removed": 0, "unchanged": 1, "count": 2},
}


@pytest.fixture
def group_id(server: SharedServer) -> str:
    made: str = server.call("createGroup", {"phones": OLD})["groupId"]
    return made


@pytest.mark.parametrize("command", CHANGES)
def test_what_a_change_would_do_and_did_is_told(
    run_anywhere: Run, group_id: str, command: str
) -> None:
    given = ["groups", command, group_id, OLD, NEW]
    change = CHANGES[command]
    text = "+{added} -{removed} ={unchanged}, {count} phones".format(**change)
    done = run_anywhere(*given, "--dry-run")
    assert (done.out, done.err) == (f"{group_id}: {text}\n", "dry run: nothing was changed\n")
    assert run_anywhere(*given, "--dry-run", "--json").json == change
    assert run_anywhere("groups", "phones", group_id).out == f"{OLD}\n"
    done = run_anywhere(*given, "--detail")
    assert (done.out, done.err) == (f"{group_id}: {text}\n", "")
    assert run_anywhere("groups", "show", group_id, "--json").json["count"] == change["count"]


def test_json_asks_for_the_detail_too(run_anywhere: Run, group_id: str) -> None:
    assert run_anywhere("groups", "add", group_id, OLD, NEW, "--json").json == CHANGES["add"]
    assert run_anywhere("groups", "phones", group_id).out == f"{OLD}\n{NEW}\n"


def test_a_dry_run_finds_what_the_change_would_be_refused_for(
    run_anywhere: Run, group_id: str
) -> None:
    done = run_anywhere("groups", "add", group_id, "0123", "--dry-run", code=1)
    assert "Parameter error: phones: item 1 must be 5 to 15 digits" in done.err
    done = run_anywhere("groups", "add", "0" * 32, NEW, "--dry-run", code=3)
    assert "openpns: Number group does not exist" in done.err
