"""The pytest plugin: the fixture `pns_server`. It imports little: pytest loads it in every run."""

from typing import TYPE_CHECKING

import pytest

from openpns.errors import OpenPNSError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openpns.testing.emulator import Emulator


@pytest.fixture(scope="session")
def _pns_emulator() -> "Iterator[Emulator]":
    try:
        from openpns.testing.emulator import Emulator  # noqa: PLC0415 - only if it is used
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("openpns"):
            raise
        pytest.fail(
            f"the fixture pns_server needs the emulator's packages ({error.name} is missing); "
            "install them with: pip install 'openpns[testing]'",
            pytrace=False,
        )
    emulator = Emulator()
    try:
        emulator.start()
    except OpenPNSError as error:
        problem = str(error)
    else:
        yield emulator
        emulator.stop()
        return
    pytest.fail(f"the fixture pns_server: {problem}", pytrace=False)


@pytest.fixture
def pns_server(_pns_emulator: "Emulator") -> "Emulator":
    """An openpns server on a real socket, reset before each test."""
    _pns_emulator.reset()
    return _pns_emulator
