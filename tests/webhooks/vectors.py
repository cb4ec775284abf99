"""Signed events that the tests of receivers share; contract/webhooks.json has them."""

import json
from pathlib import Path
from typing import Any, Final

VECTORS: Final[list[dict[str, str]]] = json.loads(
    (Path(__file__).parents[2] / "contract" / "webhooks.json").read_text("utf-8")
)
EXAMPLE, RECORD, UNICODE_RECORD, UNBOUND, TEST, _ = VECTORS
SECRET: Final = RECORD["secret"]
OTHER_SECRET: Final = UNBOUND["secret"]


def headers_of(vector: dict[str, str]) -> dict[str, str]:
    """Return the headers of a vector."""
    return {
        "webhook-id": vector["id"],
        "webhook-timestamp": vector["timestamp"],
        "webhook-signature": vector["signature"],
    }


def record(**fields: Any) -> bytes:
    """Return the body of a record, with some fields changed; a field of ... is left out."""
    body = json.loads(RECORD["body"]) | fields
    kept = {name: value for name, value in body.items() if value is not ...}
    return json.dumps(kept).encode()


def unbound(**data: Any) -> bytes:
    """Return the body of a call without a binding, with some fields of its data changed."""
    body = json.loads(UNBOUND["body"])
    body["data"] |= data
    return json.dumps(body).encode()
