"""`openpns explain`, through the API and on the database."""

from tests.cli.bindings.conftest import A, B, C, X, _emulator, api, emulator
from tests.cli.conftest import Run

from openpns.testing import Emulator

__all__ = ["_emulator", "api", "emulator"]


def test_explain_through_the_server(api: Run, emulator: Emulator) -> None:
    bind_id = api("bindings", "axb", A, B, "--expire", "1h").out.split()[0]
    done = api("explain", A, X)
    assert (done.out, done.err) == (
        f"{B}\n",
        f"axb: the caller is named by it (binding {bind_id})\n",
    )
    done = api("explain", C, X, code=3)
    assert (done.out, done.err) == (
        "",
        "notBound: no binding names the caller on this virtual number\n",
    )
    assert api("explain", A, X, "--at", "2200-01-01", code=3).err.startswith("expired: ")
    assert api("explain", B, X, "--json").json["callee"] == A
    assert [request.action for request in emulator.requests].count("queryAXB") == 0


def test_explain_on_the_database(openpns: Run, database_url: str) -> None:
    openpns("numbers", "add", X, "--customer", "cus_1")
    done = openpns("explain", A, X, "--customer", "cus_1", code=3)
    assert done.err.startswith("notBound: ")
    assert openpns("explain", A, X, "--database", database_url, code=3).err == done.err
    openpns("numbers", "disable", X)
    assert "disabledNumber" in openpns("explain", A, X, "--customer", "cus_1", code=3).err
    assert "no customer has it" in openpns("explain", A, C, "--database", database_url, code=3).err
    openpns("numbers", "remove", X)
    for form in (X, f"+{X}"):
        resting = openpns("explain", A, form, "--database", database_url, code=3)
        assert "it was removed and rests" in resting.err
    assert "unknownNumber" in openpns("explain", A, X, "--customer", "cus_1", code=3).err
    assert (
        "cannot be combined"
        in openpns("explain", A, X, "--customer", "cus_1", "--profile", "p", code=2).err
    )
