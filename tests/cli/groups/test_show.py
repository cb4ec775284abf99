import re

import pytest
from tests.cli.conftest import Run, SharedServer
from tests.helpers import on_sqlite_only

from openpns.clock import now_ms

pytestmark = on_sqlite_only


@pytest.fixture
def group_id(server: SharedServer) -> str:
    """The id of a group of two phones."""
    body = {"phones": "85211111114,85235753351", "groupName": "销售一部", "remark": "备注"}
    made: str = server.call("createGroup", body)["groupId"]
    return made


def test_show_prints_attributes_without_phones(run_anywhere: Run, group_id: str) -> None:
    *facts, created, changed = run_anywhere("groups", "show", group_id).out.splitlines()
    assert facts == [
        f"groupId   {group_id}",
        "name      销售一部",
        "remark    备注",
        "customer  cus_1",
        "phones    2",
    ]
    assert re.fullmatch(r"created   \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", created)
    assert changed.startswith("changed   ")
    shown = run_anywhere("groups", "show", group_id, "--json").json
    times = [shown.pop("createdMs"), shown.pop("updatedMs")]
    assert shown == {
        "groupId": group_id,
        "groupName": "销售一部",
        "remark": "备注",
        "customerId": "cus_1",
        "count": 2,
    }
    assert 0 < times[0] <= times[1] <= now_ms()


def test_phones_prints_one_phone_per_line(
    run_anywhere: Run, group_id: str, server: SharedServer
) -> None:
    assert run_anywhere("groups", "phones", group_id).out == "85211111114\n85235753351\n"
    numbers = ["85211111114", "85235753351"]
    assert run_anywhere("groups", "phones", group_id, "--json").json == numbers
    body = {"groupId": group_id, "operateType": 1, "phones": ",".join(numbers)}
    server.call("updateGroup", body)
    assert run_anywhere("groups", "phones", group_id).out == ""
    assert run_anywhere("groups", "phones", group_id, "--json").out == "[]\n"


def test_rename_changes_name_and_remark(run_anywhere: Run, group_id: str) -> None:
    done = run_anywhere("groups", "rename", group_id, "--name", "new")
    assert (done.out, done.err) == ("", f"{group_id}: renamed\n")
    run_anywhere("groups", "rename", group_id, "--remark", "")
    shown = run_anywhere("groups", "show", group_id, "--json").json
    assert (shown["groupName"], shown["remark"], shown["count"]) == ("new", "", 2)
    run_anywhere("groups", "rename", group_id, "--name", "")
    assert run_anywhere("groups", "show", group_id, "--json").json["groupName"] == group_id
    done = run_anywhere("groups", "rename", group_id, code=2)
    assert "Give --name, --remark or both." in done.err


@pytest.mark.parametrize("command", [["show"], ["phones"], ["rename", "--name", "x"]])
@pytest.mark.parametrize("group_id", ["0" * 32, "groupA"])
@pytest.mark.usefixtures("server")
def test_missing_group_is_exit_code_3(run_anywhere: Run, command: list[str], group_id: str) -> None:
    done = run_anywhere("groups", *command, group_id, code=3)
    assert "openpns: Number group does not exist" in done.err
    assert ("32 lower-case hex characters" in done.err) == (group_id == "groupA")
