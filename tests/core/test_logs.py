import asyncio
import json
import logging
import threading
from typing import Any

import pytest
from tests.api.conftest import Log

from openpns.core import logs

SECRET = "a-secret-of-cus-1"


def _log_an_error(logger: Any) -> None:
    held = SECRET  # a variable that a traceback with values would show
    try:
        raise ValueError(held)
    except ValueError:
        logger.exception("it failed")


def test_json_line_has_level_time_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logs.logger().warning("request failed", code=1003, name="中文")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["code"]) == ("request failed", "warning", 1003)
    assert line["name"] == "中文"
    assert line["timestamp"].endswith("Z")


def test_console_line_has_no_colours_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("console", "info")
    logs.logger().info("serving", url="http://127.0.0.1:8080/")
    line = capsys.readouterr().err
    assert "[info" in line
    assert "serving url=http://127.0.0.1:8080/" in line
    assert "\x1b" not in line


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_configure_drops_lines_below_the_level(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(log_format, "warning")
    logs.logger().info("serving")
    logging.getLogger("asyncio").info("detail")
    assert capsys.readouterr().err == ""
    logs.logger().warning("request slow")
    assert "request slow" in capsys.readouterr().err


def test_lines_of_other_loggers_have_the_same_format(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logging.getLogger("asyncio").warning("worker %d died", 7)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"]) == ("worker 7 died", "warning")


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("ours", [True, False])
def test_logged_exception_shows_type_and_place_without_text_and_variables(
    capsys: pytest.CaptureFixture[str], log_format: str, *, ours: bool
) -> None:
    logs.configure(log_format, "info")
    _log_an_error(logs.logger() if ours else logging.getLogger("asyncio"))
    text = capsys.readouterr().err
    assert "it failed" in text
    assert "ValueError" in text
    assert "test_logs.py" in text
    assert SECRET not in text


def test_configure_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logs.configure("json", "info")
    logs.logger().info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_lines_of_libraries_are_bounded_and_counted_but_not_those_of_openpns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(logs, "monotonic", lambda: now_s)
    logs.configure("json", "info")
    for number in range(100):
        logging.getLogger("openpns.transport").error("cannot accept %d", number)
        logs.logger().info("serving")
    now_s += 1
    logging.getLogger("asyncio").warning("%d%%", 7)
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events.count("serving") == 100
    assert len(events) == 100 + logs.LIBRARY_LINES_PER_S_MAX + 1
    assert events[-1] == "7% (80 lines omitted)"


def test_describe_error_returns_nothing_for_none() -> None:
    assert logs.describe_error(None) == {}


def test_describe_error_shows_notes_but_not_the_text() -> None:
    error = OSError("secret")
    error.add_note("nothing listens there")
    assert logs.describe_error(error) == {
        "cause": "OSError",
        "why": "nothing listens there",
        "trace": [],
    }


async def test_line_bound_allows_lines_a_second_and_reports_the_count_of_the_rest(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, later = 100.0, []
    monkeypatch.setattr(logs, "monotonic", lambda: now_s)
    monkeypatch.setattr(
        asyncio.get_running_loop(), "call_later", lambda _, report: later.append(report)
    )
    bound = logs.LineBound(log.logger, lines_max=2)
    assert [bound.allows(code) for code in (1003, 1005, 1005, 1003, 1005)] == [
        *(True, True, False, False, False)
    ]
    now_s += 10
    assert not bound.allows(1003)  # what was left out is reported first
    (report,) = later
    report()
    (line,) = log.lines
    assert (line["event"], line["level"]) == ("request lines omitted", "warning")
    assert line["by_code"] == {"1003": 2, "1005": 2}
    assert [bound.allows(1003) for _ in range(3)] == [True, True, False]
    assert len(later) == 2


async def test_line_bound_bounds_each_key_and_the_sum_of_all_keys(log: Log) -> None:
    omitted: list[None] = []
    bound = logs.LineBound(
        log.logger, 5, lines_per_key_max=2, on_omitted=lambda: omitted.append(None)
    )
    allowed = [key for key in "aaabbb" + "cdefgh" if bound.allows(1002, key)]
    assert allowed == [*"aabb", "c"]
    assert len(omitted) == 7
    assert len(bound._lines) <= 5  # however many keys there are


async def test_line_bound_allows_all_lines_within_the_bound(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(logs, "monotonic", lambda: now_s)
    bound = logs.LineBound(log.logger, lines_max=1)
    for _ in range(5):
        assert bound.allows(1003)
        now_s += 1
    assert log.lines == []


def test_logger_that_a_thread_uses_is_not_that_of_the_others() -> None:
    log, found = object(), []

    def run() -> None:
        logs.use(log)
        found.append(logs.logger())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [log]
    assert logs.logger() is not log
