"""`openpns bindings list`."""

import csv
import io

from tests.cli.bindings.conftest import A, B, C, X, Y
from tests.cli.conftest import Run

from openpns.testing import Emulator


def test_list_prints_a_table_json_csv_and_ids(api: Run, emulator: Emulator) -> None:
    assert "no live bindings" in api("bindings", "list").err
    first = api("bindings", "axb", A, B, "--expire", "2h", "--id", "o").out.split()[0]
    second = api("bindings", "extension", C, Y, "042", "--expire", "never").out.split()[0]
    head, row, other = api("bindings", "list").out.splitlines()
    assert head.split()[:3] == ["bindId", "phone", "A"]
    assert row.split()[:4] == [first, A, X, B]
    assert other.split()[1:6] == [C, Y, "-", "042", "never"]
    assert api("bindings", "list", "-q").out.split() == [first, second]
    assert api("bindings", "list", "-q", "--limit", "1").out.split() == [first]
    listed = api("bindings", "list", "--json").json
    assert [binding["bindId"] for binding in listed] == [first, second]
    rows = [*csv.DictReader(io.StringIO(api("bindings", "list", "--csv").out))]
    assert [{k: str(v) for k, v in binding.items()} for binding in listed] == rows


def test_list_by_filters(api: Run, emulator: Emulator) -> None:
    group_id = emulator.add_group([B])
    axb = api("bindings", "axb", A, C, "--expire", "1h", "--id", "o").out.split()[0]
    axg = api("bindings", "axg", A, group_id, "--did", Y, "--expire", "1h").out.split()[0]
    for filters, found in (
        (["--phone", B], [axg]),
        (["--phone", A], [axb, axg]),
        (["--did", X], [axb]),
        (["--group", group_id], [axg]),
        (["--kind", "axb"], [axb]),
        (["--id", "o"], [axb]),
    ):
        assert api("bindings", "list", "-q", *filters).out.split() == found
