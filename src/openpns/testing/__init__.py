"""Testing against openpns: an emulator on a real socket, and a pytest plugin.

    with Emulator() as pns:
        my_code(pns.base_url, pns.access_key, pns.access_secret)
        assert pns.requests[0].action == "listGroup"

Importing this package loads nothing: pytest imports it in every run, for the plugin.
Source: docs/testing.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openpns.testing.clock import MovableClock
    from openpns.testing.emulator import Emulator
    from openpns.testing.faults import Faults
    from openpns.testing.requests import ReceivedRequest
    from openpns.testing.service import Key

__all__ = ["Emulator", "Faults", "Key", "MovableClock", "ReceivedRequest"]

_LOADED_WHEN_NEEDED = {
    "Emulator": "openpns.testing.emulator",
    "Faults": "openpns.testing.faults",
    "Key": "openpns.testing.service",
    "MovableClock": "openpns.testing.clock",
    "ReceivedRequest": "openpns.testing.requests",
}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_WHEN_NEEDED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LOADED_WHEN_NEEDED[name]), name)
    globals()[name] = value
    return value
