"""The log lines about receivers that fail."""

from collections.abc import Iterator
from math import inf

import pytest
import structlog
from tests import direct
from tests.deliveries.conftest import Add, Hook, Make
from tests.deliveries.hook_server import answer, receiving, take
from tests.helpers import on_sqlite_only

from openpns.core import logs
from openpns.deliveries.failure_log import FailureLog

Lines = list[tuple[object, ...]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What is logged in this thread: event, customer, and the other fields that are there."""
    found: Lines = []

    def keep(_log: object, _method: str, event: structlog.typing.EventDict) -> str:
        found.append(tuple(event.values()))
        raise structlog.DropEvent

    before = getattr(logs._used, "log", None)
    logs.use(structlog.wrap_logger(None, processors=[keep]))
    yield found
    logs.use(before)


def test_receiver_has_a_line_when_it_begins_to_fail_and_when_it_recovers(lines: Lines) -> None:
    log = FailureLog()
    log.turn("cus_1", 0, "status 500")
    log.turn("cus_2", 1, "no response in time")
    log.flush(59)
    log.turn("cus_1", 60, None)
    assert lines == [
        ("cus_1", "status 500", "receiver fails"),
        ("cus_2", "no response in time", "receiver fails"),
        ("cus_1", "receiver has recovered"),
    ]


def test_receiver_that_fails_and_recovers_all_the_time_has_a_line_a_minute(lines: Lines) -> None:
    log = FailureLog()
    for second in range(600):
        log.turn("cus_1", second, None if second % 2 else f"status {second}")
        log.flush(second)
    assert len(lines) == 10
    assert lines[-1] == ("cus_1", "receiver has recovered")
    log.turn("cus_1", 600, "status 600")
    log.turn("cus_1", 601, None)
    log.flush(inf)
    assert len(lines) == 10


def test_deliveries_that_fail_for_good_are_counted(lines: Lines) -> None:
    log = FailureLog()
    for _ in range(1_000):
        log.fail("cus_1", 0, "status 500")
    log.fail("cus_2", 0, "status 404")
    log.flush(59)
    assert [line[1] for line in lines] == [1, 1]
    log.flush(60)
    log.flush(60)
    assert lines[2:] == [("cus_1", 999, "status 500", "deliveries failed for good")]
    log.fail("cus_1", 61, "status 500")
    assert len(lines) == 3
    log.flush(inf)
    assert lines[3:] == [("cus_1", 1, "status 500", "deliveries failed for good")]


def test_receiver_without_lines_is_forgotten_and_still_recovers(lines: Lines) -> None:
    log = FailureLog()
    log.turn("cus_1", 0, "status 500")
    log.flush(60)
    assert not log._known
    log.turn("cus_1", 61, None)
    assert lines[1:] == [("cus_1", "receiver has recovered")]


@on_sqlite_only
async def test_worker_logs_neither_url_nor_body(
    hook: Hook, add: Add, make: Make, query: direct.Query, lines: Lines
) -> None:
    async with receiving(answer("500 geheim")) as receiver:
        await hook("cus_1", f"{receiver.url}?token=geheim")
        await add("cus_1", 1, 2)
        await query("UPDATE delivery SET kind = 'test'")
        deliverer = make()
        await deliverer.run_once()
        receiver.respond = take
        await add("cus_1", 3)
        await deliverer.run_once()
        await deliverer.close()
    assert lines == [
        ("cus_1", "status 500", "receiver fails"),
        ("cus_1", 1, "status 500", "deliveries failed for good"),
        ("cus_1", "receiver has recovered"),
        ("cus_1", 1, "status 500", "deliveries failed for good"),
    ]
