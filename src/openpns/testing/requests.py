"""What arrived at the emulator, for tests to look at."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class ReceivedCall:
    """A call that arrived.

    Attributes:
        action: The header `action`; None where there was none.
        access_key: The header `accessKey`; None where there was none.
        body: The body as a dict; None where it was no JSON object or was not read.
        code: The code of the answer; None while the call is in hand, and for one that was
            dropped before it was carried out.
        http_status: The HTTP status of the answer; None as for `code`.
        faults: The faults that it met, by the names of the switches.
    """

    action: str | None
    access_key: str | None
    body: dict[str, Any] | None = None
    code: int | None = None
    http_status: int | None = None
    faults: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return a text without the body's values: they may be phone numbers."""
        fields = None if self.body is None else list(self.body)
        return (
            f"ReceivedCall(action={self.action!r}, code={self.code}, fields={fields}, "
            f"faults={self.faults})"
        )


def body_as_dict(body: bytes | None) -> dict[str, Any] | None:
    """Return a body as a dict; None where it is no JSON object.

    Args:
        body: The body as sent; None where it was not read.
    """
    try:
        values = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
