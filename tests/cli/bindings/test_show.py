"""`openpns bindings get|query`."""

from tests.cli.bindings.conftest import A, B, C, X
from tests.cli.conftest import Run


def test_get_prints_every_attribute(api: Run) -> None:
    bind_id, _ = api("bindings", "axb", A, B, "--expire", "never", "--id", "o").out.split()
    shown = dict(
        line.rstrip().split("  ", 1) for line in api("bindings", "get", bind_id).out.splitlines()
    )
    shown = {name: value.strip() for name, value in shown.items()}
    assert shown.pop("created")
    assert shown == {
        "bindId": bind_id,
        "kind": "axb",
        "number": X,
        "phone A": A,
        "phone B": B,
        "digits": "-",
        "group": "-",
        "own id": "o",
        "business": "default",
        "record": "no",
        "expires": "never",
        "last call": "never",
    }
    assert api("bindings", "get", "--id", "o", "--json").json["bindId"] == bind_id
    assert "Missing BIND_ID" in api("bindings", "get", code=2).err


def test_query_prints_the_callee(api: Run) -> None:
    api("bindings", "axb", A, B, "--expire", "1h")
    api("bindings", "extension", A, X, "042", "--expire", "1h")
    assert api("bindings", "query", A, X).out == f"{B}\n"
    done = api("bindings", "query", C, X)
    assert (done.out, done.err) == ("", "the caller is asked for digits; repeat with --digits\n")
    found = api("bindings", "query", C, X, "--digits", "042", "--json").json
    assert (found["callee"], found["flag"]) == (A, 0)
    assert "binding not exist" in api("bindings", "query", C, X, "--digits", "043", code=3).err
