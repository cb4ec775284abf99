from time import perf_counter

import pytest
from tests.api.conftest import Log

from openpns.api import request_log
from openpns.api.counters import Counters
from openpns.api.metrics import CounterCollector
from openpns.api.request_log import RequestLog, RequestRecord
from openpns.errors import (
    GroupNotFound,
    InternalError,
    InvalidSignature,
    OutcomeUnknown,
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
    assert counters.total()[-1] == counted


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


async def test_end_bounds_the_lines_of_a_flood_and_counts_all(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "LINES_PER_S_MAX", 3)
    counters = Counters()
    bounded = RequestLog(counters, log.logger)

    def fail(error: WireError, customer_id: str | None = None) -> None:
        failed = RequestRecord("1602262837283131392", perf_counter())
        failed.error, failed.customer_id = error, customer_id
        bounded.end(failed)

    for _ in range(4):
        fail(InvalidSignature())
        fail(RateLimited(), "cus_1")
    assert [line["code"] for line in log.lines] == [1003, 19003, 1003]
    fail(GroupNotFound(), "cus_1")  # signed and within the rate: always logged
    assert log.lines[-1]["code"] == 19001
    collected = {
        sample.labels["code"]: sample.value
        for metric in CounterCollector(counters.total()).collect()
        for sample in metric.samples
        if sample.name == "openpns_requests_total"
    }
    assert collected == {"1003": 4, "19003": 4, "19001": 1}
