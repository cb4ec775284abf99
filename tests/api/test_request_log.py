from time import perf_counter

import pytest
from tests.api.conftest import Log

from openpns import limits
from openpns.api.counters import CounterCollector, Counters
from openpns.api.request_log import Call, RequestLog
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
def call() -> Call:
    return Call("1602262837283131392", perf_counter())


def test_a_call_without_an_error_is_counted_and_not_logged(log: Log, call: Call) -> None:
    counters = Counters()
    request_log = RequestLog(counters, log.logger)
    empty = counters.total()
    request_log.begin()
    request_log.end(call)
    assert counters.total() != empty
    assert log.text == ""


def test_a_slow_call_is_logged_with_its_time(log: Log, call: Call) -> None:
    request_log = RequestLog(Counters(), log.logger, slow_ms=2000)
    call.started_s -= 3
    call.action = "listGroup"
    request_log.begin()
    request_log.end(call)
    (line,) = log.lines
    assert (line["event"], line["level"], line["action"]) == ("call slow", "warning", "listGroup")
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
def test_what_the_operator_must_see_to_is_an_error_and_what_the_caller_did_a_warning(
    log: Log, call: Call, error: WireError, level: str
) -> None:
    request_log = RequestLog(Counters(), log.logger)
    request_log.begin()
    call.error = error
    request_log.end(call)
    (line,) = log.lines
    assert (line["level"], line["code"], line["msg"]) == (level, error.code, error.msg)
    assert "access_key" not in line


@pytest.mark.parametrize(
    ("error", "counted"),
    [(ServiceUnavailable(), 1), (ReadFailed(), 1), (OutcomeUnknown(), 1), (InternalError(), 0)],
)
def test_only_the_storages_failures_count_as_its_failures(
    log: Log, call: Call, error: WireError, counted: int
) -> None:
    counters = Counters()
    request_log = RequestLog(counters, log.logger)
    request_log.begin()
    call.error = error
    request_log.end(call)
    assert counters.total()[-1] == counted


def test_the_cause_is_told_by_type_and_place_without_its_text(log: Log, call: Call) -> None:
    request_log = RequestLog(Counters(), log.logger)
    request_log.begin()
    call.error = InternalError()
    try:
        int(f"x{PHONE}")
    except ValueError as error:
        call.error.__cause__ = error
    request_log.end(call)
    (line,) = log.lines
    assert line["cause"] == "ValueError"
    assert "test_telemetry.py" in line["trace"][-1]
    assert PHONE not in log.text


async def test_floods_leave_few_lines_and_are_counted_all(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOG_LINES_PER_S_MAX", 3)
    counters = Counters()
    request_log = RequestLog(counters, log.logger)

    def fail(error: WireError, customer_id: str | None = None) -> None:
        failed = Call("1602262837283131392", perf_counter())
        failed.error, failed.customer_id = error, customer_id
        request_log.begin()
        request_log.end(failed)

    for _ in range(4):
        fail(InvalidSignature())
        fail(RateLimited(), "cus_1")
    assert [line["code"] for line in log.lines] == [1003, 19003, 1003]
    fail(GroupNotFound(), "cus_1")  # who has signed and is within the rate is always heard
    assert log.lines[-1]["code"] == 19001
    collected = {
        sample.labels["code"]: sample.value
        for metric in CounterCollector(counters.total()).collect()
        for sample in metric.samples
        if sample.name == "openpns_requests_total"
    }
    assert collected == {"1003": 4, "19003": 4, "19001": 1}
