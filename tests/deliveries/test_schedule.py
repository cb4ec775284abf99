"""When a failed delivery is tried again."""

import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.deliveries.conftest import Add, Hook, Make
from tests.deliveries.hook_server import (
    STATES,
    answer,
    receiving,
    take,
)
from tests.helpers import on_sqlite_only

from openpns.deliveries.schedule import delay_ms, parse_retry_after


@on_sqlite_only
@pytest.mark.parametrize(
    ("schedule", "attempts"), [("vendor", 61), ("vendor-2024", 3), ("exponential", 14)]
)
async def test_event_fails_after_the_last_attempt_of_the_schedule(
    hook: Hook,
    add: Add,
    make: Make,
    query: direct.Query,
    clock: FakeClock,
    schedule: str,
    attempts: int,
) -> None:
    async with receiving(answer("503 Away")) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        deliverer = make(webhook_schedule=schedule)
        for _ in range(attempts + 5):
            await deliverer.run_once()
            clock.now_ms += 86_400_000
        assert len(receiver.received) == attempts
        assert await query(STATES) == [("1", "failed", attempts, attempts, 503, "status 503")]
        # A re-send begins a new round with the same id.
        receiver.respond = take
        await query(
            f"UPDATE delivery SET state = 'pending', round_tries = 0, next_ms = {clock.now_ms}"
        )
        await deliverer.run_once()
    assert receiver.ids()[-1] == "1"
    assert await query(STATES) == [("1", "delivered", attempts + 1, 1, 200, "")]
    assert deliverer.counters.total()[:4] == [1, attempts - 1, 1, 0]


@on_sqlite_only
async def test_retry_after_prolongs_the_delay(
    hook: Hook, add: Add, make: Make, clock: FakeClock
) -> None:
    async with receiving(answer("429 Slow", "Retry-After: 120\r\n")) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        deliverer = make()
        await deliverer.run_once()
        clock.now_ms += 119_999
        assert await deliverer.run_once() == 0
        clock.now_ms += 1
        assert await deliverer.run_once() == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("999999999999999999999", 3600),
        ("Thu, 08 Dec 2022 06:08:12 GMT", 60),
        ("Wed, 07 Dec 2022 00:00:00 GMT", 0),
        ("Fri, 08 Dec 2028 00:00:00 GMT", 3600),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("٣", None),
        ("Thu, 99 Dec 2022 99:99:99 GMT", None),
    ],
)
def test_parse_retry_after_reads_seconds_and_dates(text: str, seconds: int | None) -> None:
    assert parse_retry_after(text, 1_670_479_632_933) == seconds


def test_delays_are_those_of_the_schedule() -> None:
    assert [delay_ms("vendor", tries) for tries in (1, 60, 61)] == [60_000, 60_000, None]
    assert [delay_ms("vendor-2024", tries) for tries in (1, 2, 3)] == [300_000, 300_000, None]
    exponential = [delay_ms("exponential", tries) or 0 for tries in range(1, 14)]
    assert exponential == sorted(exponential)
    assert exponential[0] == 5000
    assert 2.9 * 86_400_000 < sum(exponential) < 3.1 * 86_400_000
    assert delay_ms("exponential", 14) is None


def test_retry_after_never_shortens_a_delay_nor_adds_an_attempt() -> None:
    assert delay_ms("vendor", 1, 10) == 60_000
    assert delay_ms("vendor", 1, 61) == 61_000
    assert delay_ms("vendor", 61, 61) is None
