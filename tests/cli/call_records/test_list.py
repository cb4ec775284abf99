"""`openpns call-records list|get`, through the API and on the database."""

import csv
import io

import pytest
from tests.cli.bindings.conftest import A, B, X
from tests.cli.conftest import Run

from openpns.testing import Emulator


def test_list_prints_a_table_json_csv_and_ids(api: Run, emulator: Emulator) -> None:
    records = emulator.call_records()
    ids = [record.call_id for record in records]
    head, first, *_, last = api("call-records", "list").out.splitlines()
    assert head.split() == [
        *("id", "began", "caller", "number", "callee", "status", "seconds", "callId"),
    ]
    assert first.split() == [
        *("3", "2022-12-08", "08:02:00Z", A, X, B, "normal", "end", "6", ids[0]),
    ]
    assert last.split()[6:] == ["busy", "0", ids[2]]
    assert api("call-records", "list", "-q").out.split() == ids
    assert api("call-records", "list", "-q", "--limit", "2").out.split() == ids[:2]
    listed = api("call-records", "list", "--json").json
    assert [record["callId"] for record in listed] == ids
    rows = [*csv.DictReader(io.StringIO(api("call-records", "list", "--csv").out))]
    assert rows == [{name: str(value) for name, value in record.items()} for record in listed]


def test_list_by_filters(api: Run, emulator: Emulator) -> None:
    ids = [record.call_id for record in emulator.call_records()]
    bind_id = emulator.call_records()[0].bind_id
    assert bind_id is not None
    for filters, found in (
        (["--phone", B], ids),
        (["--phone", "85255555555"], []),
        (["--did", X, "--binding", bind_id], ids),
        (["--since", "2022-12-08T08:01"], ids[:2]),
        (["--until", "2022-12-08T08:01"], ids[2:]),
        (["--until", "1h"], ids),
        (["--since", "1h"], []),
    ):
        assert api("call-records", "list", "-q", *filters).out.split() == found


def test_list_of_nothing(api: Run) -> None:
    nothing = ("--since", "2027-01-01")
    assert "no call records" in api("call-records", "list", *nothing).err
    assert api("call-records", "list", "--json", *nothing).json == []
    assert api("call-records", "list", "--csv", *nothing).out.startswith("id,businessId,")
    assert api("call-records", "list", "-q", *nothing).out == ""


def test_list_and_get_read_the_database(stored: Run) -> None:
    database = ("--customer", "cus_1")
    assert stored("call-records", "list", "-q", *database).out.split() == ["3", "2", "1"]
    shown = stored("call-records", "get", "2", "--json", *database).json
    assert (shown["callId"], shown["caller"], shown["callee"]) == ("2", A, "")
    assert "Not found" in stored("call-records", "get", "9", *database, code=3).err
    assert "not found" in stored("call-records", "list", "--customer", "x", code=3).err


def test_get_prints_every_attribute(api: Run, emulator: Emulator) -> None:
    record = emulator.call_records()[0]
    shown = dict(
        line.rstrip().split("  ", 1)
        for line in api("call-records", "get", record.call_id).out.splitlines()
    )
    assert {name: value.strip() for name, value in shown.items()} == {
        "id": "3",
        "callId": record.call_id,
        "bindId": record.bind_id,
        "own id": "=1+1",
        "business": "default",
        "caller": A,
        "number": X,
        "callee": B,
        "status": "normal end",
        "seconds": "6",
        "began": "2022-12-08 08:02:00Z",
        "answered": "2022-12-08 08:02:04Z",
        "ended": "2022-12-08 08:02:10Z",
        "ended by": "caller",
        "cause": "NORMAL_CLEARING",
        "code": "16",
        "recording": "-",
        "digits": "-",
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--database", "sqlite:///x.db"], "--database needs --customer."),
        (["--customer", "cus_1"], "Missing option '--database'"),
        (["--customer", "c", "--profile", "p"], "--customer works on the database"),
    ],
)
def test_contradicting_places_are_refused(
    run_anywhere: Run, arguments: list[str], text: str
) -> None:
    for command in (["list"], ["get", "1"], ["export"]):
        done = run_anywhere("call-records", *command, *arguments, code=2)
        assert text in done.err
