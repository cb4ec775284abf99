import pytest
from tests.cli.conftest import Run, SharedServer
from tests.helpers import on_sqlite_only

pytestmark = on_sqlite_only

NAMES = ["Straße 1", "berlin", "STRASSE 2"]
PHONES = ["85211111114", "85235753351", "85211111114"]


@pytest.fixture
def ids(server: SharedServer) -> list[str]:
    """The ids of three groups with one phone each, oldest first."""
    return [
        server.call("createGroup", {"phones": phone, "groupName": name})["groupId"]
        for phone, name in zip(PHONES, NAMES, strict=True)
    ]


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ([], [0, 1, 2]),
        (["--phone", "85211111114"], [0, 2]),
        (["--phone", "+85211111114", "--order", "newest"], [2, 0]),
        (["--name", "strasse"], [0, 2]),
        (["--order", "name"], [1, 0, 2]),
        (["--order", "name", "--limit", "2"], [1, 0]),
        (["--phone", "85211111114", "--name", "B"], []),
        (["--id", "0" * 32], []),
        (["--limit", "0"], []),
    ],
)
def test_find_prints_matching_groups(
    run_anywhere: Run, ids: list[str], options: list[str], places: list[int]
) -> None:
    found = run_anywhere("groups", "find", "-q", *options).out.split()
    assert found == [ids[place] for place in places]
    assert run_anywhere("groups", "find", "--id", ids[1], "-q").out == ids[1] + "\n"


def test_find_reads_the_phone_from_stdin(run_anywhere: Run, ids: list[str]) -> None:
    done = run_anywhere("groups", "find", "--phone", "-", "--json", stdin=b"85235753351\r\n")
    assert [group["groupId"] for group in done.json] == [ids[1]]


def test_find_without_match_writes_to_stderr(run_anywhere: Run, ids: list[str]) -> None:
    done = run_anywhere("groups", "find", "--name", "x")
    assert (done.out, done.err) == ("", "no group matches\n")
    assert run_anywhere("groups", "find", "--name", "x", "--json").json == []


def test_find_refuses_a_wrong_phone_without_printing_it(run_anywhere: Run, ids: list[str]) -> None:
    done = run_anywhere("groups", "find", "--phone", "85211111114,85235753351", code=1)
    assert "Parameter error: phone must be one phone number" in done.err
    assert "85211111114" not in done.err
    assert (
        "'upwards' is not one of"
        in run_anywhere("groups", "find", "--order", "upwards", code=2).err
    )
