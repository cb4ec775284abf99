"""`openpns bindings axb|extension|axg`."""

import pytest
from tests.cli.bindings.conftest import A, B, C, X, Y
from tests.cli.conftest import Run

from openpns.testing import Emulator


def test_axb_prints_the_id_and_the_number(api: Run, emulator: Emulator) -> None:
    bind_id, did = api("bindings", "axb", A, B, "--expire", "2h", "--id", "o").out.split()
    assert (len(bind_id), did) == (32, X)
    assert emulator.call(A, X) == B
    again = api("bindings", "axb", A, B, "--expire", "2h", "--id", "o", "--json").json
    assert again == {"bindId": bind_id, "did": X}


def test_dry_run_prints_the_number_only(api: Run, emulator: Emulator) -> None:
    done = api("bindings", "axb", A, B, "--expire", "never", "--dry-run")
    assert (done.out, done.err) == (f"{X}\n", "dry run: nothing was bound\n")
    assert emulator.call(A, X) is None


def test_extension_and_group(api: Run, emulator: Emulator) -> None:
    group_id = emulator.add_group([B, C])
    api("bindings", "extension", A, X, "042", "--expire", "30m", "--record")
    api("bindings", "axg", A, group_id, "--expire", "60", "--did", Y, "--phone-b", C)
    assert emulator.call(B, X, "042") == A
    assert [emulator.call(phone, Y) for phone in (A, B)] == [C, A]


@pytest.mark.parametrize("expire", ["1x", "0", "-1", "3651d", "", "never ", "1.5h"])
def test_wrong_lifetime_is_refused(api: Run, expire: str) -> None:
    done = api("bindings", "axb", A, B, f"--expire={expire}", code=2)
    assert "allowed are 1s to 3650d, with s, m, h or d, and never" in done.err


def test_refusal_is_one_line_without_a_phone(api: Run) -> None:
    done = api("bindings", "axb", A, "8613800138000", "--expire", "1h", code=5)
    assert done.out == ""
    assert done.err.startswith("openpns: Different prefix for binding numbers: phoneA and phoneB")
    assert done.err.count("\n") == 1
    assert A not in done.err
