import base64
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.helpers import MASTER_KEY, on_sqlite_only

CREATE = ("keys", "create", "--customer", "cus_1", "--json")
VARIABLE = "OPENPNS_MASTER_KEY"


def test_new_prints_32_random_bytes_in_base64(run_anywhere: Run) -> None:
    first, second = (run_anywhere("master-key", "new").out for _ in range(2))
    assert len(base64.urlsafe_b64decode(first)) == 32
    assert first != second


def test_rotate_with_variable_encrypts_all_secrets_again(
    openpns: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        openpns(*CREATE)
    new = openpns("master-key", "new").out.strip()
    monkeypatch.setenv(VARIABLE, f"{new},{MASTER_KEY}")
    assert openpns("master-key", "rotate").out == "access secrets encrypted again: 3\n"
    monkeypatch.setenv(VARIABLE, new)
    openpns(*CREATE)
    monkeypatch.setenv(VARIABLE, MASTER_KEY)
    assert "not the master key" in openpns(*CREATE, code=2).err


def test_rotate_refuses_one_key_in_the_variable(openpns: Run) -> None:
    openpns(*CREATE)
    assert "put the new one before it: NEW,OLD" in openpns("master-key", "rotate", code=2).err


def test_rotate_does_not_print_a_malformed_key(
    openpns: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "hunter22")
    done = openpns(*CREATE, code=2)
    assert done.err.startswith(f"openpns: {VARIABLE}: not a master key; allowed is 32 bytes")
    assert "hunter22" not in done.err


@on_sqlite_only
def test_rotate_replaces_the_private_key_file(
    openpns: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    openpns(*CREATE)
    file = tmp_path / "test.db.key"
    old = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert openpns("master-key", "rotate").out == "access secrets encrypted again: 1\n"
    assert file.read_text() != old
    assert file.stat().st_mode & 0o777 == 0o600
    openpns(*CREATE)
    file.unlink()
    assert "test.db.key: cannot read the master key" in openpns(*CREATE, code=2).err


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_rotate_on_postgresql_needs_the_variable(
    openpns: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    assert f"{VARIABLE}: is not set, and PostgreSQL needs it" in openpns(*CREATE, code=2).err
