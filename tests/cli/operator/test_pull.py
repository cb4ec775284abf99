"""`openpns pull`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from openpns.client.http import Client
from openpns.testing import Emulator

A, B, X, Y = "85211111111", "85222222222", "85290000001", "85290000002"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The other server; the profile `there` names it."""
    with Emulator() as emulator:
        emulator.add_numbers(X, Y)
        file = tmp_path / "openpns" / "config.toml"
        file.parent.mkdir()
        file.write_text(
            f'[there]\nbase_url = "{emulator.base_url}"\naccess_key = "{emulator.access_key}"\n'
            f'access_secret = "{emulator.access_secret}"\n'
        )
        file.chmod(0o600)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        yield emulator


def test_pull_prints_what_is_missing_and_ends_all_only_if_allowed(
    openpns: Run, source: Emulator
) -> None:
    pull = ("pull", "--from", "there", "--customer", "cus_1")
    with Client(source.base_url, source.access_key, source.access_secret) as there:
        bound = there.bindings.bind_extension(A, X, "042", expire_s=0)
        other = there.bindings.bind_extension(B, Y, "042", expire_s=0)
        openpns("numbers", "add", X, "--customer", "cus_1")
        dry = openpns(*pull, "--dry-run", code=1)
        done = openpns(*pull, code=1)
        assert done.out == dry.out
        assert done.out.splitlines()[1:] == [
            "bindings: 1 new, 0 changed, 0 the same, 0 ended",
            "left out: 1",
            "virtual numbers that are not here; add them if they are yours:",
            f"openpns numbers add {Y} --customer cus_1",
        ]
        there.bindings.unbind(bound.bind_id)
        there.bindings.unbind(other.bind_id)
    refused = openpns(*pull, code=2)
    assert refused.out == ""
    assert "lists no binding, but 1 that were brought from it live here" in refused.err
    assert "1 ended" in openpns(*pull, "--allow-empty").out
