"""`openpns bindings unbind|update`."""

import pytest
from tests.cli.bindings.conftest import A, B, C, X
from tests.cli.conftest import Run

from openpns.testing import Emulator


@pytest.fixture
def bind_id(api: Run) -> str:
    return api("bindings", "axb", A, B, "--expire", "2h", "--id", "o").out.split()[0]


def test_unbind_by_either_id(api: Run, emulator: Emulator, bind_id: str) -> None:
    assert api("bindings", "unbind", bind_id).err == f"{bind_id}: ended\n"
    assert emulator.call(A, X) is None
    done = api("bindings", "unbind", "--id", "o", code=3)
    assert "binding not exist" in done.err
    assert "Missing BIND_ID" in api("bindings", "unbind", code=2).err


def test_update_changes_what_is_given(api: Run, emulator: Emulator, bind_id: str) -> None:
    assert api("bindings", "update", "--id", "o", "--phone-b", C).err == "o: changed\n"
    assert emulator.call(A, X) == C
    api("bindings", "update", bind_id, "--expire", "never", "--record")
    shown = api("bindings", "get", bind_id, "--json").json
    assert (shown["expireAt"], shown["flag"], shown["phoneB"]) == (0, 1, C)
    api("bindings", "update", bind_id, "--no-record")
    assert api("bindings", "get", bind_id, "--json").json["flag"] == 0
    assert "Give --expire" in api("bindings", "update", bind_id, code=2).err
