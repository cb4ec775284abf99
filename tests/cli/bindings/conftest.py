"""A server whose customer cus_1 has two virtual numbers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from openpns.testing import Emulator

X, Y = "85290000001", "85290000002"
A, B, C = "85211111111", "85222222222", "85233333333"


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    """A server whose customer has two virtual numbers; the environment has its URL and key."""
    _emulator.reset()
    _emulator.add_numbers(X, Y)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OPENPNS_BASE_URL", _emulator.base_url)
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", _emulator.access_key)
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", _emulator.access_secret)
    return _emulator


@pytest.fixture
def api(emulator: Emulator, run_anywhere: Run) -> Run:
    """Runs `openpns` with that server."""
    return run_anywhere
