import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run, SharedServer, call_as
from tests.cli.proxy import Proxy
from tests.helpers import on_sqlite_only

pytestmark = [on_sqlite_only, pytest.mark.usefixtures("server")]

NO_GROUP = "0" * 32

OLD, NEW = "85211111114", "8613800138000"
# The result of each command with OLD and NEW on a group of OLD.
CHANGES = {
    "add": {"added": 1, "removed": 0, "unchanged": 1, "count": 2},
    "remove": {"added": 0, "removed": 1, "unchanged": 1, "count": 0},
    "replace": {"added": 1, "removed": 0, "unchanged": 1, "count": 2},
}


@pytest.fixture
def group_id(run_anywhere: Run, server: SharedServer) -> str:
    """The id of a group of two phones."""
    done = run_anywhere(
        "groups", "create", "85211111114", "+85235753351", "--name", "销售一部", "--remark", "备注"
    )
    assert done.err == ""
    return done.out.strip()


def _phones(run: Run, group_id: str) -> list[str]:
    found: list[str] = run("groups", "get", group_id, "--json").json["phones"]
    return found


def test_get_prints_a_group_with_its_phones(run_anywhere: Run, group_id: str) -> None:
    assert run_anywhere("groups", "get", group_id).out.splitlines() == [
        f"groupId   {group_id}",
        "name      销售一部",
        "remark    备注",
        "customer  cus_1",
        "phones    2",
        "  85211111114",
        "  85235753351",
    ]
    assert run_anywhere("groups", "get", group_id, "--json").json == {
        "groupId": group_id,
        "groupName": "销售一部",
        "phones": ["85211111114", "85235753351"],
        "remark": "备注",
        "customerId": "cus_1",
    }


def test_create_prints_the_id(run_anywhere: Run) -> None:
    made = run_anywhere("groups", "create", "85211111114,8613800138000", "--json").json
    assert list(made) == ["groupId"]
    assert run_anywhere("groups", "list", "-q").out == made["groupId"] + "\n"
    assert _phones(run_anywhere, made["groupId"]) == ["85211111114", "8613800138000"]


def test_create_with_the_same_token_creates_one_group(run_anywhere: Run) -> None:
    create = ("groups", "create", "--client-token", "order-7")
    made = [run_anywhere(*create, "85211111114").out for _ in range(2)]
    assert made[0] == made[1] == run_anywhere("groups", "list", "-q").out
    refused = run_anywhere(*create, "8613800138000", code=1)
    assert refused.err.startswith("openpns: Client token reused: another createGroup was sent")


def test_add_remove_and_replace_phones(run_anywhere: Run, group_id: str, tmp_path: Path) -> None:
    done = run_anywhere("groups", "add", group_id, "8613800138000")
    assert (done.out, done.err) == ("", f"{group_id}: added\n")
    assert _phones(run_anywhere, group_id)[-1] == "8613800138000"
    run_anywhere("groups", "remove", group_id, "-", stdin=b"85211111114,\r\n+8613800138000\n")
    assert _phones(run_anywhere, group_id) == ["85235753351"]
    numbers = tmp_path / "numbers.txt"
    numbers.write_bytes("\ufeff442071838750\n 85211111114 ".encode())
    run_anywhere("groups", "replace", group_id, "--phones-file", str(numbers))
    assert _phones(run_anywhere, group_id) == ["442071838750", "85211111114"]


@pytest.mark.parametrize("command", ["create", "add", "remove", "replace"])
def test_missing_phones_are_a_usage_error(run_anywhere: Run, command: str) -> None:
    arguments = [] if command == "create" else [NO_GROUP]
    done = run_anywhere("groups", command, *arguments, "-", stdin=b"\n", code=2)
    assert "give phones, --phones-file FILE, or - for stdin" in done.err


def test_unreadable_phones_file_is_one_line(run_anywhere: Run, tmp_path: Path) -> None:
    done = run_anywhere("groups", "create", "--phones-file", str(tmp_path / "none"), code=2)
    assert "cannot read it (No such file" in done.err
    (tmp_path / "gbk").write_bytes("号码".encode("gbk"))
    done = run_anywhere("groups", "create", "--phones-file", str(tmp_path / "gbk"), code=2)
    assert "is not UTF-8" in done.err


@pytest.mark.parametrize("group_id", [NO_GROUP, "groupA"])
@pytest.mark.parametrize("command", ["get", "add", "remove", "replace", "delete"])
def test_missing_group_is_exit_code_3(run_anywhere: Run, command: str, group_id: str) -> None:
    rest = {"get": [], "delete": ["--yes"]}.get(command, ["85211111114"])
    done = run_anywhere("groups", command, group_id, *rest, code=3)
    assert "openpns: Number group does not exist" in done.err
    assert ("32 lower-case hex characters" in done.err) == (group_id == "groupA")
    assert done.out == ""


def test_get_and_list_work_with_a_server_without_extensions(
    run_anywhere: Run, group_id: str, proxy: Proxy
) -> None:
    proxy.refuse = lambda body: "after" in body or [*body] == ["groupId"]
    other = run_anywhere("groups", "create", "85211111114").out.strip()
    assert _phones(run_anywhere, other) == ["85211111114"]
    assert run_anywhere("groups", "list", "-q").out.split() == [group_id, other]
    assert run_anywhere("groups", "export").out.count("\n") == 3
    run_anywhere("groups", "get", NO_GROUP, code=3)
    for command in (["find", "--order", "newest"], ["show", group_id]):
        done = run_anywhere("groups", *command, code=1)
        assert "openpns: Parameter error: not known" in done.err


def test_refused_phone_is_not_printed(run_anywhere: Run) -> None:
    done = run_anywhere("groups", "create", "85211111114", "0123", code=1)
    assert "Parameter error: phones: item 2 must be 5 to 15 digits" in done.err
    assert "0123" not in done.err
    assert run_anywhere("groups", "list", "--json").json == []


def test_delete_takes_several_ids_and_needs_yes(run_anywhere: Run, group_id: str) -> None:
    done = run_anywhere("groups", "delete", group_id, stdin=b"y\n", code=2)
    assert "Without a terminal for the confirmation, --yes is needed" in done.err
    other = run_anywhere("groups", "create", "85211111114").out.strip()
    done = run_anywhere("groups", "delete", group_id, other, "--yes")
    assert (done.out, done.err) == ("", f"{group_id}: deleted\n{other}: deleted\n")
    assert run_anywhere("groups", "list", "--json").json == []


def test_options_have_priority_over_the_profile(
    run_anywhere: Run,
    server: SharedServer,
    group_id: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("BASE_URL", "ACCESS_KEY", "ACCESS_SECRET"):
        monkeypatch.delenv(f"OPENPNS_{name}")
    file = tmp_path / "openpns" / "config.toml"
    file.parent.mkdir()
    file.write_text(
        f'[other]\nbase_url = "http://127.0.0.1:{server.port}"\n'
        'access_key = "key-of-cus-2"\naccess_secret = "secret-of-2"\n'
    )
    file.chmod(0o600)
    assert run_anywhere("groups", "list", "--profile", "other", "--json").json == []
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", "secret-of-cus-1")
    done = run_anywhere(
        "groups", "list", "--profile", "other", "--access-key", "key-of-cus-1", "-q"
    )
    assert done.out == group_id + "\n"
    done = run_anywhere("groups", "list", "--profile", "none", code=2)
    assert "profile 'none': not in" in done.err


def test_secret_has_no_option_and_is_not_printed(
    run_anywhere: Run, server: SharedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "secret" not in run_anywhere("groups", "list", "--help").out.replace("its secret", "")
    call_as("cus_1", server.port, monkeypatch, tmp_path)
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", "hunter22")
    done = run_anywhere("groups", "list", code=4)
    assert done.err.startswith("openpns: Invalid signature")
    assert "hunter22" not in done.err


def test_json_of_a_group_can_be_imported(run_anywhere: Run, group_id: str, tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    group = run_anywhere("groups", "get", group_id, "--json").json
    file.write_text(json.dumps(group | {"phones": ["442071838750"]}))
    assert "changed 1 (+1 -2 phones)" in run_anywhere("groups", "import", str(file)).out
    assert _phones(run_anywhere, group_id) == ["442071838750"]


def test_wrong_clock_is_one_line(run_anywhere: Run, proxy: Proxy) -> None:
    refusal = {"code": 1004, "msg": "Timestamp has expired", "requestId": "1"}
    proxy.page = json.dumps(refusal).encode()
    proxy.date_moved_s = 300
    done = run_anywhere("groups", "list", code=4)
    clock, refused = done.err.splitlines()
    assert clock.startswith("openpns: this machine's clock is ")
    assert refused.startswith("openpns: Timestamp has expired")


@pytest.fixture
def single(server: SharedServer) -> str:
    made: str = server.call("createGroup", {"phones": OLD})["groupId"]
    return made


@pytest.mark.parametrize("command", CHANGES)
def test_change_prints_detail_and_dry_run(run_anywhere: Run, single: str, command: str) -> None:
    given = ["groups", command, single, OLD, NEW]
    change = CHANGES[command]
    text = "+{added} -{removed} ={unchanged}, {count} phones".format(**change)
    done = run_anywhere(*given, "--dry-run")
    assert (done.out, done.err) == (f"{single}: {text}\n", "dry run: nothing was changed\n")
    assert run_anywhere(*given, "--dry-run", "--json").json == change
    assert run_anywhere("groups", "phones", single).out == f"{OLD}\n"
    done = run_anywhere(*given, "--detail")
    assert (done.out, done.err) == (f"{single}: {text}\n", "")
    assert run_anywhere("groups", "show", single, "--json").json["count"] == change["count"]


def test_json_prints_the_detail(run_anywhere: Run, single: str) -> None:
    assert run_anywhere("groups", "add", single, OLD, NEW, "--json").json == CHANGES["add"]
    assert run_anywhere("groups", "phones", single).out == f"{OLD}\n{NEW}\n"


def test_dry_run_reports_why_a_change_is_refused(run_anywhere: Run, single: str) -> None:
    done = run_anywhere("groups", "add", single, "0123", "--dry-run", code=1)
    assert "Parameter error: phones: item 1 must be 5 to 15 digits" in done.err
    done = run_anywhere("groups", "add", "0" * 32, NEW, "--dry-run", code=3)
    assert "openpns: Number group does not exist" in done.err
