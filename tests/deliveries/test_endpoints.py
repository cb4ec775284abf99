"""The operator's commands on webhooks."""

import base64
import json

import msgspec
import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.deliveries.actions import URL, Webhooks

from openpns.accounts.secret_box import SecretBox
from openpns.deliveries import endpoints
from openpns.deliveries.signature import new_secret
from openpns.errors import ConfigError, InternalError

ENTRIES = "SELECT action, details FROM audit_entry WHERE action LIKE 'webhooks.%' ORDER BY at_ms"


async def test_first_set_makes_a_secret_and_later_ones_keep_it(
    mine: Webhooks, clock: FakeClock
) -> None:
    webhook, made = await mine.set()
    assert made is not None
    assert made.secret.startswith("whsec_")
    assert len(base64.b64decode(made.secret.removeprefix("whsec_"), validate=True)) == 32
    assert made.secret not in repr(made) + repr(await endpoints.get(mine.store, "cus_1"))
    assert (webhook.url, webhook.kinds, webhook.state) == (
        URL,
        ("callRecord", "unboundCall"),
        "active",
    )
    clock.now_ms += 5
    changed, nothing = await mine.set("https://example.org/", ["unboundCall"])
    assert nothing is None
    assert await mine.secrets() == [made.secret]
    assert (changed.url, changed.kinds) == ("https://example.org/", ("unboundCall",))
    assert (changed.created_ms, changed.changed_ms) == (clock.now_ms - 5, clock.now_ms)
    kept, _ = await mine.set("https://example.org/2")
    assert kept.kinds == ("unboundCall",)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "http://example.com/",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:hunter2@example.com/",
        "https://example.com/#part",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://example.com\\@example.org/",
        "https://example.com:0/",
        "https://example.com:99999/",
        f"https://example.com/{'a' * 2048}",
    ],
)
async def test_url_that_is_not_allowed_is_refused_and_not_repeated(
    mine: Webhooks, url: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        await mine.set(url)
    assert "hunter2" not in str(caught.value)
    assert await endpoints.find(mine.store, "cus_1") is None


async def test_http_is_allowed_by_the_setting_only(mine: Webhooks) -> None:
    with pytest.raises(ConfigError, match="webhook_http_allowed"):
        await mine.set("http://127.0.0.1:9000/")
    webhook, _ = await mine.set("http://127.0.0.1:9000/", http_allowed=True)
    assert webhook.url == "http://127.0.0.1:9000/"


@pytest.mark.parametrize("kinds", [[], [""], ["test"], ["callRecord", "calls"]])
async def test_unknown_kinds_are_refused(mine: Webhooks, kinds: list[str]) -> None:
    with pytest.raises(ConfigError, match="kinds: allowed are callRecord and unboundCall"):
        await mine.set(kinds=kinds)


async def test_customer_without_webhook_or_unknown_customer_is_named(mine: Webhooks) -> None:
    for change in (mine.set_state("disabled"), mine.rotate()):
        with pytest.raises(ConfigError, match="customer cus_1: has no webhook"):
            await change
    mine.customer_id = "cus_9"
    for change in (mine.set(), mine.set_state("active"), mine.rotate()):
        with pytest.raises(ConfigError, match="'cus_9': not found"):
            await change


async def test_given_secret_is_stored(mine: Webhooks) -> None:
    first, second = new_secret(), new_secret()
    _, made = await mine.set(secret=first)
    assert made is not None
    assert made.secret == first
    assert (await mine.rotate(secret=second)).secret == second
    assert await mine.secrets() == [second, first]
    for wrong in ("", "whsec_", "whsec_AAAA", f"{first},{second}", first.removeprefix("whsec_")):
        with pytest.raises(ConfigError, match="secret: allowed is whsec_ and the base64 of 24"):
            await mine.set(secret=wrong)
        with pytest.raises(ConfigError, match="secret: allowed is whsec_ and the base64 of 24"):
            await mine.rotate(secret=wrong)
    assert await mine.secrets() == [second, first]


async def test_rotated_secret_stays_in_force_until_its_end(
    mine: Webhooks, clock: FakeClock
) -> None:
    _, first = await mine.set()
    assert first is not None
    second = await mine.rotate(grace_ms=60_000)
    assert await mine.secrets() == [second.secret, first.secret]
    webhook = (await endpoints.get(mine.store, "cus_1")).shown()
    assert webhook.previous_secret_until_ms == clock.now_ms + 60_000


async def test_rotation_is_undone_unless_the_secrets_have_changed_since(mine: Webhooks) -> None:
    _, first = await mine.set()
    assert first is not None
    before = await endpoints.get(mine.store, "cus_1")
    await mine.rotate()
    await endpoints.rotate_back(mine.store, before)
    after = await endpoints.get(mine.store, "cus_1")
    assert after.changed_ms == before.changed_ms + 2
    assert msgspec.structs.replace(after, changed_ms=before.changed_ms) == before
    await mine.rotate()
    await mine.rotate()
    with pytest.raises(ConfigError, match="have changed since"):
        await endpoints.rotate_back(mine.store, before)


async def test_set_makes_one_that_is_gone_active_and_leaves_a_disabled_one(
    mine: Webhooks, query: direct.Query
) -> None:
    await mine.set()
    await query("UPDATE webhook SET state = 'gone'")
    assert (await mine.set("https://example.org/"))[0].state == "active"
    assert (await mine.set_state("disabled")).state == "disabled"
    assert (await mine.set())[0].state == "disabled"
    assert (await mine.set_state("active")).state == "active"


async def test_every_change_is_seen_by_its_changed_ms(
    mine: Webhooks, query: direct.Query, clock: FakeClock
) -> None:
    """A worker that knows a webhook by changed_ms must notice two changes in one ms."""
    seen = [(await mine.set())[0].changed_ms]
    for change in (
        lambda: mine.set("https://example.org/"),
        lambda: mine.set_state("disabled"),
        lambda: mine.set_state("active"),
        mine.rotate,
    ):
        await query("UPDATE webhook SET failing_ms = 7")
        await change()
        ((changed_ms, failing_ms),) = await query("SELECT changed_ms, failing_ms FROM webhook")
        seen.append(changed_ms)
        assert failing_ms == 0
    assert seen == [clock.now_ms + n for n in range(5)]


async def test_events_while_disabled_are_kept_as_failed(mine: Webhooks) -> None:
    await mine.set(kinds=["callRecord"])
    before = await mine.add()
    await mine.set_state("disabled")
    meanwhile = await mine.add()
    await mine.add("unboundCall")
    page = await mine.page()
    assert [(d.id, d.state, d.last_error) for d in page.deliveries] == [
        (meanwhile, "failed", "webhook disabled"),
        (before, "pending", ""),
    ]
    usage = await endpoints.get_usage(mine.store, "cus_1")
    assert (usage.pending, usage.failed) == (1, 1)
    assert usage.oldest_pending_ms == mine.clock()
    assert (await endpoints.get_usage(mine.store, "cus_2")).oldest_pending_ms is None


async def test_audit_entries_hold_neither_secrets_nor_paths(
    mine: Webhooks, query: direct.Query
) -> None:
    _, made = await mine.set("https://example.com:8443/hook-4711?token=hunter2")
    rotated = await mine.rotate()
    await mine.set_state("disabled")
    await mine.set_state("active")
    rows = await query(ENTRIES)
    assert sorted(row[0] for row in rows) == sorted(
        ["webhooks.set", "webhooks.rotateSecret", "webhooks.disable", "webhooks.enable"]
    )
    text = json.dumps(rows)
    assert "https://example.com:8443" in text
    assert made is not None
    for secret in (made.secret, rotated.secret, "hunter2", "4711"):
        assert secret not in text


async def test_secret_of_a_replaced_master_key_is_not_stored(mine: Webhooks) -> None:
    late = Webhooks(mine.context, SecretBox([b"o" * 32]))
    with pytest.raises(InternalError):
        await late.set()
    assert await endpoints.find(mine.store, "cus_1") is None


async def test_list_shows_all_customers(mine: Webhooks, theirs: Webhooks) -> None:
    await theirs.set("https://example.org/")
    await mine.set()
    listed = await endpoints.list_webhooks(mine.store)
    assert [(w.customer_id, w.url) for w in listed] == [
        ("cus_1", URL),
        ("cus_2", "https://example.org/"),
    ]


@pytest.mark.parametrize("grace_ms", [-1, endpoints.GRACE_MS_MAX + 1])
async def test_grace_that_is_not_allowed_is_refused(mine: Webhooks, grace_ms: int) -> None:
    _, made = await mine.set()
    assert made is not None
    with pytest.raises(ConfigError, match="grace: allowed are 0 to 30 days"):
        await mine.rotate(grace_ms)
    assert await mine.secrets() == [made.secret]
    await mine.rotate(endpoints.GRACE_MS_MAX)


async def test_same_state_changes_nothing(mine: Webhooks, query: direct.Query) -> None:
    webhook, _ = await mine.set()
    assert await mine.set_state("active") == webhook
    disabled = await mine.set_state("disabled")
    assert await mine.set_state("disabled") == disabled
    rows = await query(ENTRIES)
    assert sorted(row[0] for row in rows) == ["webhooks.disable", "webhooks.set"]


async def test_removed_webhook_leaves_nothing_and_no_event_is_stored(
    mine: Webhooks, theirs: Webhooks, query: direct.Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "DELETED_EACH", 2)
    for webhooks in (mine, theirs):
        await webhooks.set("https://example.com/hook-4711?token=hunter2")
    kept = await theirs.add()
    await mine.add()
    await query("UPDATE delivery SET state = 'failed' WHERE customer_id = 'cus_1'")
    for _ in range(2):
        await mine.add()
    assert await endpoints.remove(mine.store, "cus_1") == 3
    await mine.add()
    assert (await mine.page()).deliveries == []
    assert [webhook.customer_id for webhook in await endpoints.list_webhooks(mine.store)] == [
        "cus_2"
    ]
    assert await theirs.ids() == [kept]
    rows = await query("SELECT details FROM audit_entry WHERE action = 'webhooks.remove'")
    entries = sorted((json.loads(row[0]) for row in rows), key=str)
    assert entries == [{"deliveries": 1}, {"deliveries": 2}, {"url": "https://example.com"}]
    with pytest.raises(ConfigError, match="customer cus_1: has no webhook"):
        await endpoints.remove(mine.store, "cus_1")
    with pytest.raises(ConfigError, match="'cus_9': not found"):
        await endpoints.remove(mine.store, "cus_9")


async def test_deliveries_of_a_removed_webhook_are_not_sent_to_a_new_one(
    mine: Webhooks, query: direct.Query
) -> None:
    """A removal that was interrupted, or an event whose transaction ended after it."""
    await mine.set()
    await mine.add()
    await query("DELETE FROM webhook")
    with pytest.raises(ConfigError, match="deliveries of its removed webhook are left"):
        await mine.set()
    assert await endpoints.find(mine.store, "cus_1") is None
    assert await endpoints.remove(mine.store, "cus_1") == 1
    assert (await mine.set())[1] is not None
    assert await mine.ids() == []
