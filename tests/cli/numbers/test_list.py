"""`openpns numbers list`, on the database and through the API."""

from tests.cli.bindings.conftest import X, Y, _emulator, api, emulator
from tests.cli.conftest import Run

__all__ = ["_emulator", "api", "emulator"]


def test_list_of_the_database(openpns: Run, database_url: str) -> None:
    assert "openpns numbers add" in openpns("numbers", "list", "--customer", "cus_1").err
    openpns("customers", "create", "cus_2")
    openpns("numbers", "add", X, "--customer", "cus_1")
    openpns("numbers", "add", Y, "--customer", "cus_2", "--business", "food")
    openpns("numbers", "drain", Y)
    rows = openpns("numbers", "list", "--database", database_url).out.splitlines()
    assert [row.split()[:4] for row in rows[1:]] == [
        [X, "cus_1", "default", "active"],
        [Y, "cus_2", "food", "draining"],
    ]
    (found,) = openpns("numbers", "list", "--customer", "cus_2", "--json").json
    assert (found["did"], found["bindings"]) == (Y, 0)
    listed = openpns("numbers", "list", "--database", database_url, "--state", "active", "--json")
    assert [number["did"] for number in listed.json] == [X]


def test_list_of_the_server(api: Run) -> None:
    rows = api("numbers", "list").out.splitlines()
    assert rows[0].split() == ["number", "business", "state", "country", "bindings", "room"]
    assert [row.split()[:3] for row in rows[1:]] == [
        [X, "default", "active"],
        [Y, "default", "active"],
    ]
    assert [number["did"] for number in api("numbers", "list", "--json").json] == [X, Y]
    assert api("numbers", "list", "--state", "disabled").out == ""
