"""What a deliverer does with events, with receivers on loopback."""

import asyncio
import json

import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.deliveries.conftest import Add, Hook, Make
from tests.deliveries.hook_server import (
    MINUTE_MS,
    STATES,
    HookServer,
    Received,
    answer,
    hang,
    receiving,
    take,
    until,
    verified,
)
from tests.helpers import on_sqlite_only

from openpns.accounts.secret_box import SecretBox
from openpns.core import logs
from openpns.deliveries import deliverer as module
from openpns.deliveries import endpoints
from openpns.deliveries.counters import RESULTS
from openpns.deliveries.signature import new_secret
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.storage.store import Store


async def test_event_is_sent_once_with_id_time_signature_and_the_bytes_that_are_stored(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    async with receiving() as receiver:
        secret = await hook("cus_1", receiver.url)
        await add("cus_1", 7, 8)
        deliverer = make()
        assert await deliverer.run_once() == 2
        assert await deliverer.run_once() == 0
    assert receiver.ids() == ["7", "8"]
    first = receiver.received[0]
    assert first.body == b'{"id":7}'
    assert first.path == "/hook"
    assert first.headers["webhook-id"] == "msg_7"
    assert first.headers["webhook-timestamp"] == str(clock.now_ms // 1000)
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"].startswith("openpns/")
    assert first.headers.keys() == {
        *("host", "content-type", "content-length", "user-agent"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    }
    assert verified(secret, first)
    assert await query(STATES) == [
        ("7", "delivered", 1, 1, 200, ""),
        ("8", "delivered", 1, 1, 200, ""),
    ]


async def test_both_secrets_sign_until_the_rotation_ends(
    hook: Hook, add: Add, make: Make, clock: FakeClock
) -> None:
    previous = new_secret()
    async with receiving() as receiver:
        until_ms = clock.now_ms + 1000
        secret = await hook("cus_1", receiver.url, previous=previous, previous_until_ms=until_ms)
        deliverer = make()
        for moved_ms in (0, 999, 1):
            clock.now_ms += moved_ms
            await add("cus_1", moved_ms)
            await deliverer.run_once()
    old = [verified(previous, one) for one in receiver.received]
    assert all(verified(secret, one) for one in receiver.received)
    assert old == [True, True, False]


async def test_410_stops_the_webhook_and_keeps_what_is_pending(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    async with receiving(answer("410 Gone")) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1, 2)
        deliverer = make()
        await deliverer.run_once()
        assert receiver.ids() == ["1"]
        assert await query("SELECT state FROM webhook") == [("gone",)]
        assert [row[1] for row in await query(STATES)] == ["failed", "pending"]
        actions = "SELECT action, operator, details FROM audit_entry WHERE action LIKE 'webhooks%'"
        ((action, operator, details),) = await query(actions)
        assert (action, operator) == ("webhooks.gone", "openpns")  # not who runs the process
        assert json.loads(details) == {"by": "delivery worker", "status": 410}
        await add("cus_1", 3)  # stored, so that it can be sent later
        assert (await query(STATES))[2][1:] == ("failed", 0, 0, 0, "webhook gone")
        clock.now_ms += 10 * MINUTE_MS
        assert await deliverer.run_once() == 0
        receiver.respond = take
        await query("UPDATE webhook SET state = 'active', changed_ms = changed_ms + 1")
        assert await deliverer.run_once() == 1
    assert receiver.ids() == ["1", "2"]


@on_sqlite_only
async def test_410_of_an_old_url_does_not_stop_the_changed_webhook(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    async def change(receiver: HookServer, _: Received, writer: asyncio.StreamWriter) -> None:
        await query("UPDATE webhook SET changed_ms = changed_ms + 1")
        writer.write(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")

    async with receiving(change) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        await make().run_once()
    assert await query("SELECT state FROM webhook") == [("active",)]


@on_sqlite_only
async def test_disabled_webhook_gets_nothing_and_goes_on_when_it_is_enabled(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    async with receiving() as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        await query("UPDATE webhook SET state = 'disabled', changed_ms = 2")
        deliverer = make()
        assert await deliverer.run_once() == 0
        await query("UPDATE webhook SET state = 'active', changed_ms = 3")
        assert await deliverer.run_once() == 1
    assert receiver.ids() == ["1"]


async def test_webhook_that_is_removed_during_an_attempt_gets_nothing_more(
    hook: Hook,
    add: Add,
    make: Make,
    store: Store,
    secret_box: SecretBox,
    query: direct.Query,
    clock: FakeClock,
) -> None:
    async def remove(_: HookServer, got: Received, writer: asyncio.StreamWriter) -> None:
        if got.id == "1":
            await endpoints.remove(store, "cus_1")
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")

    async with receiving(remove) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1, 2)
        deliverer = make()
        await deliverer.run_once()
        clock.now_ms += MINUTE_MS
        assert await deliverer.run_once() == 0
        assert await query(STATES) == []
        _, made = await endpoints.set_webhook(
            store, secret_box, clock, "cus_1", receiver.url, http_allowed=True
        )
        assert made is not None
        await add("cus_1", 3)
        assert await deliverer.run_once() == 1
    assert receiver.ids() == ["1", "3"]
    assert verified(made.secret, receiver.received[1])


@on_sqlite_only
async def test_changed_url_counts_from_the_next_attempt_on(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    async with receiving() as after, receiving(answer("500 No")) as before:
        await hook("cus_1", before.url)
        await add("cus_1", 1)
        deliverer = make()
        await deliverer.run_once()
        await query(f"UPDATE webhook SET url = '{after.url}', changed_ms = 2")
        clock.now_ms += MINUTE_MS
        await deliverer.run_once()
    assert (before.ids(), after.ids()) == (["1"], ["1"])


async def test_test_event_has_one_attempt(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    async with receiving(answer("503 Service Unavailable", "Retry-After: 1\r\n")) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        await query("UPDATE delivery SET kind = 'test'")
        deliverer = make()
        assert await deliverer.run_once() == 1
        clock.now_ms += 2 * MINUTE_MS
        assert await deliverer.run_once() == 0
    assert receiver.ids() == ["1"]
    assert await query(STATES) == [("1", "failed", 1, 1, 503, "status 503")]
    assert deliverer.counters.total()[: len(RESULTS)] == [0, 0, 1, 0]


@on_sqlite_only
async def test_url_and_secret_that_cannot_be_used_fail_without_a_request(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    async with receiving() as receiver:
        await hook("cus_1", receiver.url)
        await hook("cus_2", receiver.url.replace("http:", "https:"))
        await query("UPDATE webhook SET secret_ciphertext = x'00' WHERE customer_id = 'cus_2'")
        await add("cus_1", 1)
        await add("cus_2", 2)
        assert await make(webhook_http_allowed="off").run_once() == 2
    assert receiver.received == []
    errors = [row[5] for row in await query(STATES)]
    assert errors[0].startswith("cannot be sent: url: its scheme must be https")
    assert errors[1] == (
        "cannot be sent: Internal error: a secret cannot be decrypted with the master key"
    )


async def test_stopped_worker_finishes_what_is_in_flight_and_gives_the_rest_back(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    async with receiving(hang) as stuck, receiving() as good:
        await hook("cus_1", stuck.url)
        await hook("cus_2", good.url)
        await add("cus_1", 1)
        await add("cus_2", 2)
        deliverer = make(webhook_timeout_ms=60_000)
        running = asyncio.create_task(deliverer.run(0.05))
        await until(lambda: stuck.received and good.received)
        deliverer.stop()
        await asyncio.wait_for(running, 30)
    rows = await query("SELECT state, tries, next_ms, lease_owner FROM delivery ORDER BY 1")
    assert rows == [("delivered", 1, clock.now_ms, ""), ("pending", 0, clock.now_ms, "")]


@on_sqlite_only
async def test_results_are_kept_while_the_database_is_away_and_nothing_is_leased_meanwhile(
    hook: Hook,
    add: Add,
    make: Make,
    store: Store,
    query: direct.Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    monkeypatch.setattr(module, "_AFTER_LOSS_S", 0.3)
    monkeypatch.setattr("openpns.deliveries.results._RETRY_S", 0.01)
    is_away = asyncio.Event()
    failures = 0
    write = store.write

    async def fail(*args: object, **options: object) -> object:
        nonlocal failures
        if is_away.is_set():
            failures += 1
            raise ServiceUnavailable("away")
        return await write(*args, **options)  # type: ignore[arg-type]

    async def respond(receiver: HookServer, got: Received, writer: asyncio.StreamWriter) -> None:
        if got.id == "1":
            is_away.set()
        await take(receiver, got, writer)

    monkeypatch.setattr(store, "write", fail)
    async with receiving(respond) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1, 2)
        deliverer = make()
        running = asyncio.create_task(deliverer.run())
        await until(lambda: failures > 5)
        assert receiver.ids() == ["1"]
        is_away.clear()
        await until(lambda: len(receiver.received) == 2)
        deliverer.stop()
        await running
    assert receiver.ids() == ["1", "2"]
    assert [row[:3] for row in await query(STATES)] == [
        ("1", "delivered", 1),
        ("2", "delivered", 1),
    ]


@on_sqlite_only
async def test_secret_that_can_be_decrypted_again_is_used(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    async with receiving() as receiver:
        await hook("cus_1", receiver.url)
        ((ciphertext,),) = await query("SELECT hex(secret_ciphertext) FROM webhook")
        await query("UPDATE webhook SET secret_ciphertext = x'00'")
        await add("cus_1", 1)
        deliverer = make()
        await deliverer.run_once()
        assert receiver.received == []
        await query(f"UPDATE webhook SET secret_ciphertext = x'{ciphertext}'")
        clock.now_ms += MINUTE_MS
        await deliverer.run_once()
    assert receiver.ids() == ["1"]


async def test_lease_that_ended_during_its_attempt_begins_no_second_one(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    answering = asyncio.Event()

    async def respond(receiver: HookServer, got: Received, writer: asyncio.StreamWriter) -> None:
        await answering.wait()
        await take(receiver, got, writer)

    async with receiving(respond) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        deliverer = make(webhook_timeout_ms=60_000, webhook_requests_per_customer_max=16)
        deliverer._receivers.width_max = 16
        running = asyncio.create_task(deliverer.run(60))
        await until(lambda: receiver.received)
        deliverer._receivers.find("cus_1").width = 16  # type: ignore[union-attr]
        leased_ms = clock.now_ms
        clock.now_ms += 10 * MINUTE_MS  # the clock jumps, or the process was suspended
        await add("cus_1", 2)
        deliverer._wake.set()
        await until(lambda: len(receiver.received) == 2)
        ((next_ms,),) = await query("SELECT next_ms FROM delivery WHERE delivery_id = '1'")
        assert next_ms > leased_ms + 10 * MINUTE_MS
        answering.set()
        deliverer.stop()
        await asyncio.wait_for(running, 60)
    assert receiver.ids() == ["1", "2"]
    assert [row[:3] for row in await query(STATES)] == [
        ("1", "delivered", 1),
        ("2", "delivered", 1),
    ]


@on_sqlite_only
async def test_attempt_that_fails_unexpectedly_has_a_result(
    hook: Hook,
    add: Add,
    make: Make,
    query: direct.Query,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("whsec_secret")

    logs.configure("json", "warning")
    monkeypatch.setattr(module, "sign", fail)
    async with receiving() as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        await make().run_once()
    assert await query(STATES) == [("1", "pending", 1, 1, 0, "cannot be sent (RuntimeError)")]
    shown = "".join(capsys.readouterr())
    assert "attempt to deliver failed" in shown
    assert "whsec_" not in shown


@on_sqlite_only
async def test_nothing_is_leased_if_the_authorities_cannot_be_read(
    hook: Hook, add: Add, make: Make, query: direct.Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authorities.pem")
    async with receiving() as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        deliverer = make()
        with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
            await asyncio.wait_for(deliverer.run(), 60)
        assert await query("SELECT tries, lease_owner FROM delivery") == [(0, "")]
        monkeypatch.delenv("SSL_CERT_FILE")
        await make().run_once()
    assert receiver.ids() == ["1"]
