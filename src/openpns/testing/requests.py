"""The requests that the emulator received."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class ReceivedRequest:
    """A request that the emulator received.

    Attributes:
        action: The header `action`; None if it is missing.
        access_key: The header `accessKey`; None if it is missing.
        body: The body as a dict; None if it is not a JSON object or was not read.
        code: The code of the response; None while the request is in flight, and if it was dropped
            before it was carried out.
        http_status: The HTTP status of the response; None as for `code`.
        faults: The faults that it met, by the names of the switches.
    """

    action: str | None
    access_key: str | None
    body: dict[str, Any] | None = None
    code: int | None = None
    http_status: int | None = None
    faults: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return a text without the values of the body, which may be phone numbers."""
        fields = None if self.body is None else list(self.body)
        return (
            f"ReceivedRequest(action={self.action!r}, code={self.code}, fields={fields}, "
            f"faults={self.faults})"
        )


def body_as_dict(body: bytes | None) -> dict[str, Any] | None:
    """Return a body as a dict; None if it is not a JSON object or was not read."""
    try:
        values = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
