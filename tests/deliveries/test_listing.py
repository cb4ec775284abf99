"""getWebhook and listDeliveries."""

import pytest
from tests import direct
from tests.conftest import START_MS, FakeClock
from tests.deliveries.actions import URL, Webhooks

from openpns.deliveries.listing import get_webhook
from openpns.deliveries.wire import WebhookInfo
from openpns.errors import ParameterError


async def test_get_webhook_shows_url_kinds_and_state(mine: Webhooks, theirs: Webhooks) -> None:
    await mine.set(kinds=["unboundCall"])
    assert await get_webhook(mine.context) == WebhookInfo(URL, ["unboundCall"], "active")
    assert await get_webhook(theirs.context) == WebhookInfo("", [], "none")


async def test_list_is_newest_first_by_pages(
    mine: Webhooks, theirs: Webhooks, clock: FakeClock
) -> None:
    for webhooks in (mine, theirs):
        await webhooks.set()
    await theirs.add()
    ids = []
    for _ in range(5):
        clock.now_ms += 1000
        ids.insert(0, await mine.add())
    assert await mine.ids() == ids
    first = await mine.page(2)
    assert ([d.id for d in first.deliveries], first.next) == (ids[:2], ids[1])
    clock.now_ms += 1000
    await mine.add()  # no later page moves because of it
    second = await mine.page(2, after=first.next)
    assert [d.id for d in second.deliveries] == ids[2:4]
    third = await mine.page(2, after=second.next)
    assert ([d.id for d in third.deliveries], third.next) == (ids[4:], None)


async def test_delivery_shows_its_attempts(mine: Webhooks, query: direct.Query) -> None:
    await mine.set()
    delivered, failed, pending = [await mine.add() for _ in range(3)]
    await query(
        "UPDATE delivery SET state = 'delivered', tries = 1, round_tries = 1, last_status = 204, "
        f"last_ms = {START_MS + 1500} WHERE delivery_id = '{delivered}'"
    )
    await query(
        "UPDATE delivery SET state = 'failed', tries = 61, round_tries = 61, last_status = 500, "
        f"last_ms = {START_MS}, last_error = 'HTTP 500' WHERE delivery_id = '{failed}'"
    )
    await query(
        f"UPDATE delivery SET next_ms = {START_MS + 60_000} WHERE delivery_id = '{pending}'"
    )
    shown = {d.id: d for d in (await mine.page()).deliveries}
    second = START_MS // 1000
    assert shown[delivered].webhook_id == f"msg_{delivered}"
    for delivery_id, state, tries, next_at, status, error, last_at in (
        (delivered, "delivered", 1, 0, 204, "", second + 2),
        (failed, "failed", 61, 0, 500, "HTTP 500", second),
        (pending, "pending", 0, second + 61, 0, "", 0),
    ):
        d = shown[delivery_id]
        assert (d.kind, d.state, d.tries, d.next_at) == ("callRecord", state, tries, next_at)
        assert (d.last_status, d.last_error, d.last_at, d.created_at) == (
            *(status, error, last_at),
            second,
        )
    assert await mine.ids(state="failed") == [failed]
    assert await mine.ids(state="delivered") == [delivered]
    assert await mine.ids(state="pending", after=pending) == []


@pytest.mark.parametrize("after", ["~", "x", "-1", "1.0", "\N{ARABIC-INDIC DIGIT ONE}"])
async def test_after_that_is_no_id_is_refused(mine: Webhooks, after: str) -> None:
    with pytest.raises(ParameterError, match="after must be the next of the page before"):
        await mine.page(after=after)
