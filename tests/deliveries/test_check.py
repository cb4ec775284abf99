"""What `openpns verify` finds in webhooks and deliveries."""

import pytest
from tests import direct
from tests.deliveries.actions import Webhooks

from openpns.deliveries.check import check_deliveries


async def test_sound_rows_are_counted(mine: Webhooks, theirs: Webhooks) -> None:
    assert await check_deliveries(mine.store, pytest.fail) == {"webhooks": 0, "deliveries": 0}
    await mine.set()
    await mine.rotate()
    await theirs.set("http://10.0.0.1:8080/", http_allowed=True)
    for kind in ("callRecord", "unboundCall"):
        await mine.add(kind)
    assert await check_deliveries(mine.store, pytest.fail) == {"webhooks": 2, "deliveries": 2}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE webhook SET url = 'ftp://x'", "webhook: its URL is none that may be set"),
        ("UPDATE webhook SET kinds = 'calls'", "webhook: its kinds are not known"),
        ("UPDATE webhook SET secret_ciphertext = previous_ciphertext", None),
        ("UPDATE webhook SET previous_until_ms = NULL", "webhook: its secrets are not encrypted"),
        (
            "UPDATE master_key_check SET ciphertext = (SELECT CAST('123456789012' AS {blob}))",
            "webhook: its secrets are not encrypted",
        ),
        ("UPDATE webhook SET secret_ciphertext = CAST('1' AS {blob})", "its secrets are not"),
        ("UPDATE webhook SET previous_ciphertext = CAST('1' AS {blob})", "its secrets are not"),
        ("UPDATE delivery SET body = '[1]'", "its body is no JSON object"),
        ("UPDATE delivery SET body = '{{'", "its body is no JSON object"),
        ("UPDATE delivery SET kind = 'calls'", "its kind is not known"),
        ("UPDATE delivery SET round_tries = 1", "its tries are miscounted"),
        ("UPDATE delivery SET delivery_id = 'x'", "delivery x: its id is not one"),
        ("UPDATE delivery SET customer_id = 'cus_2'", "the customer has no webhook"),
    ],
)
async def test_wrong_rows_are_reported(
    mine: Webhooks,
    theirs: Webhooks,
    query: direct.Query,
    database_url: str,
    change: str,
    fault: str | None,
) -> None:
    await mine.set()
    await mine.rotate()
    await mine.add()
    blob = "BLOB" if database_url.startswith("sqlite") else "bytea"
    await query(change.format(blob=blob))
    found: list[str] = []
    await check_deliveries(mine.store, found.append)
    if fault is None:
        assert found == []
    else:
        (text,) = found
        assert fault in text
