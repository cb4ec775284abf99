"""`openpns bindings export|import`."""

import json
from pathlib import Path

from tests.cli.bindings.conftest import A, B, C, X
from tests.cli.conftest import Run

ID = "{:032x}".format
ROWS = [
    {"kind": "axb", "bindId": ID(1), "did": X, "phoneA": A, "phoneB": B},
    {"kind": "extension", "bindId": ID(2), "did": X, "phoneA": C, "extension": "042"},
]


def test_export_is_read_by_import(openpns: Run, tmp_path: Path) -> None:
    for customer in ("cus_1", "cus_2"):
        if customer != "cus_1":
            openpns("customers", "create", customer)
        openpns(
            "numbers", "add", X if customer == "cus_1" else "85290000002", "--customer", customer
        )
    file = tmp_path / "bindings.jsonl"
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    done = openpns("bindings", "import", "-", "--customer", "cus_1", stdin=content)
    assert done.out == "bindings: 2 new, 0 changed, 0 the same\n"
    done = openpns("bindings", "export", str(file), "--customer", "cus_1")
    assert (done.out, done.err) == ("", "exported 2 bindings\n")
    assert file.stat().st_mode & 0o777 == 0o600
    done = openpns("bindings", "import", str(file), "--customer", "cus_1")
    assert done.out == "bindings: 0 new, 0 changed, 2 the same\n"
    exported = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [row["bindId"] for row in exported] == [ID(1), ID(2)]


def test_import_reports_bad_rows_and_stores_the_others(openpns: Run) -> None:
    openpns("numbers", "add", X, "--customer", "cus_1")
    bad = ROWS[0] | {"bindId": ID(3)}
    content = "\n".join(json.dumps(row) for row in [*ROWS, bad, {"kind": "x"}]).encode()
    done = openpns("bindings", "import", "-", "--customer", "cus_1", stdin=content, code=1)
    assert done.out == "bindings: 2 new, 0 changed, 0 the same\n"
    lines = done.err.splitlines()
    assert lines[0].startswith("-: line 3: Binding conflict: ")
    assert lines[1].startswith("-: line 4: not a binding")
    assert lines[2] == "bad rows: 2"
    assert A not in done.err
