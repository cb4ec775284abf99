from time import perf_counter

import pytest
from tests.api.conftest import Log

from openpns.api.counters import LINES_OMITTED, STORAGE_ERRORS, Counters
from openpns.api.metrics import CounterCollector
from openpns.api.request_log import RequestLog, RequestRecord
from openpns.errors import (
    GroupNotFound,
    InternalError,
    InvalidSignature,
    MethodNotAllowed,
    OutcomeUnknown,
    Overloaded,
    ParameterError,
    RateLimited,
    ReadFailed,
    ServiceUnavailable,
    WireError,
)

PHONE = "85211111114"


@pytest.fixture
def record() -> RequestRecord:
    return RequestRecord("1602262837283131392", perf_counter())


def test_end_counts_a_successful_request_and_logs_nothing(log: Log, record: RequestRecord) -> None:
    counters = Counters()
    request_log = RequestLog(counters, log.logger)
    empty = counters.total()
    request_log.end(record)
    assert counters.total() != empty
    assert log.text == ""


def test_end_logs_a_slow_request_with_its_duration(log: Log, record: RequestRecord) -> None:
    request_log = RequestLog(Counters(), log.logger, slow_ms=2000)
    record.started_s -= 3
    record.action = "listGroup"
    request_log.end(record)
    (line,) = log.lines
    assert (line["event"], line["level"], line["action"]) == (
        "request slow",
        "warning",
        "listGroup",
    )
    assert line["duration_ms"] >= 3000
    assert line["request_id"] == "1602262837283131392"


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (InvalidSignature(), "warning"),
        (GroupNotFound(), "warning"),
        (ServiceUnavailable(), "error"),
        (ReadFailed(), "error"),
        (OutcomeUnknown(), "error"),
        (InternalError(), "error"),
    ],
)
def test_end_logs_server_errors_as_error_and_others_as_warning(
    log: Log, record: RequestRecord, error: WireError, level: str
) -> None:
    request_log = RequestLog(Counters(), log.logger)
    record.error = error
    request_log.end(record)
    (line,) = log.lines
    assert (line["level"], line["code"], line["msg"]) == (level, error.code, error.msg)
    assert "access_key" not in line


@pytest.mark.parametrize(
    ("error", "counted"),
    [(ServiceUnavailable(), 1), (ReadFailed(), 1), (OutcomeUnknown(), 1), (InternalError(), 0)],
)
def test_end_counts_only_storage_failures_as_storage_errors(
    log: Log, record: RequestRecord, error: WireError, counted: int
) -> None:
    counters = Counters()
    request_log = RequestLog(counters, log.logger)
    record.error = error
    request_log.end(record)
    assert counters.total()[STORAGE_ERRORS] == counted


def test_end_logs_the_cause_by_type_and_place_without_its_text(
    log: Log, record: RequestRecord
) -> None:
    request_log = RequestLog(Counters(), log.logger)
    record.error = InternalError()
    try:
        int(f"x{PHONE}")
    except ValueError as error:
        record.error.__cause__ = error
    request_log.end(record)
    (line,) = log.lines
    assert line["cause"] == "ValueError"
    assert "test_request_log.py" in line["trace"][-1]
    assert PHONE not in log.text


class Flood:
    """Ends requests that failed, on a log with 5 lines a second, 2 of them for each key."""

    def __init__(self, log: Log) -> None:
        self.counters = Counters()
        self._log = RequestLog(self.counters, log.logger, lines_max=5, lines_per_key_max=2)

    def fail(
        self, error: WireError, access_key: str = "key", customer_id: str | None = None
    ) -> None:
        failed = RequestRecord("1602262837283131392", perf_counter())
        failed.error, failed.access_key, failed.customer_id = error, access_key, customer_id
        self._log.end(failed)

    def succeed_slowly(self, access_key: str) -> None:
        slow = RequestRecord("1602262837283131392", perf_counter() - 100)
        slow.access_key, slow.customer_id = access_key, "cus_1"
        self._log.end(slow)


async def test_end_bounds_the_lines_of_each_key_whatever_the_code(log: Log) -> None:
    flood = Flood(log)
    for error in (ParameterError(), RateLimited(), GroupNotFound()):
        flood.fail(error, "key-1", "cus_1")
    flood.succeed_slowly("key-1")
    assert [line["code"] for line in log.lines] == [1002, 19003]
    flood.fail(GroupNotFound(), "key-2", "cus_2")  # another key has lines of its own
    assert log.lines[-1]["access_key"] == "key-2"
    assert flood.counters.total()[LINES_OMITTED] == 2
    collected = {
        sample.labels["code"]: sample.value
        for metric in CounterCollector(flood.counters.total()).collect()
        for sample in metric.samples
        if sample.name == "openpns_requests_total"
    }
    assert collected == {"1002": 1, "19003": 1, "19001": 2, "0": 1}


async def test_wrong_signatures_take_no_lines_of_the_key_that_they_name(log: Log) -> None:
    flood = Flood(log)
    for number in range(100):
        flood.fail(InvalidSignature(), "key-1")
        flood.fail(InvalidSignature(), f"key-{number}")
    assert len(log.lines) == 2
    flood.fail(GroupNotFound(), "key-1", "cus_1")
    assert log.lines[-1]["code"] == 19001


async def test_end_bounds_the_lines_of_all_keys_in_sum(log: Log) -> None:
    flood = Flood(log)
    for number in range(1000):
        flood.fail(ParameterError(), f"key-{number}", "cus_1")
    assert len(log.lines) == 5


async def test_failures_of_the_server_are_bounded_apart_from_those_of_callers(log: Log) -> None:
    flood = Flood(log)
    for number in range(1000):
        flood.fail(Overloaded(), f"key-{number}", "cus_1")
    for number in range(1000):
        flood.fail(InternalError(), f"key-{number}", "cus_1")
    assert [line["code"] for line in log.lines] == [*[19004] * 5, *[19005] * 5]
    assert flood.counters.total()[STORAGE_ERRORS] == 0


def test_end_logs_a_wrong_method_at_level_debug(log: Log, record: RequestRecord) -> None:
    record.error = MethodNotAllowed()
    RequestLog(Counters(), log.logger).end(record)
    assert [line["level"] for line in log.lines] in ([], ["debug"])
