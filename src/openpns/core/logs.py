"""Structured logs, as JSON or for a console; the HTTP server's own lines go the same way."""

import asyncio
import logging
import sys
import traceback
from collections import Counter
from collections.abc import MutableMapping
from pathlib import Path
from time import monotonic
from typing import Any, Final

import structlog

_SHARED: Final[list[Any]] = [
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def describe_error(error: BaseException | None) -> dict[str, object]:
    """Return what a log line tells of an error: its type and the places it passed through.

    Its text is left out, and so are the values of variables: they may hold a secret or a number.

    Args:
        error: The error; nothing is told of None.
    """
    if error is None:
        return {}
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "cause": type(error).__name__,
        "trace": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


def configure(log_format: str, level: str) -> None:
    """Send every log line to stderr in one format.

    Args:
        log_format: "console" or "json".
        level: The least level that is written: "debug", "info", "warning" or "error".
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def formatter(log_format: str) -> logging.Formatter:
    """Return what turns a log record into a line.

    Args:
        log_format: "console" or "json".
    """
    renderer: Any = structlog.processors.JSONRenderer()
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_error_texts,
            renderer,
        ],
        foreign_pre_chain=_SHARED,
    )


def _without_error_texts(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Describe errors that asyncio and others log; the renderers would print every variable."""
    exc_info = event.pop("exc_info", None)
    if exc_info:
        is_tuple = isinstance(exc_info, tuple)
        event.update(describe_error(exc_info[1] if is_tuple else sys.exception()))
        # asyncio writes what a task or future is at below its first line, with the error's text.
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


class LineBound:
    """Let through a bounded number of lines a second, and count those that are left out.

    Args:
        log: A structlog logger; told the counts of what was left out, a second later.
        lines_max: How many lines a second are let through.
    """

    def __init__(self, log: Any, lines_max: int) -> None:
        self._log = log
        self._lines_max = lines_max
        self._lines = 0
        self._began_s = float("-inf")
        self._left_out: Counter[int] = Counter()

    def allows(self, code: int) -> bool:
        """Tell whether a line may be written now; to be asked on an event loop.

        Args:
            code: The answer's code, by which lines that are left out are counted.
        """
        now_s = monotonic()
        if now_s - self._began_s >= 1 and not self._left_out:
            self._began_s, self._lines = now_s, 0
        self._lines += 1
        if self._lines <= self._lines_max:
            return True
        if not self._left_out:
            asyncio.get_running_loop().call_later(1, self._report)
        self._left_out[code] += 1
        return False

    def _report(self) -> None:
        counts = {str(code): count for code, count in sorted(self._left_out.items())}
        self._left_out.clear()
        self._log.warning("requests failed, not logged one by one", by_code=counts)


def granian_config() -> dict[str, Any]:
    """Return the logging settings that make the HTTP server log through ours."""
    passed_on = {"handlers": [], "propagate": True}
    return {
        "handlers": {},
        "formatters": {},
        "loggers": {"_granian": passed_on, "granian.access": passed_on},
    }


def logger() -> Any:
    """Return the server's logger."""
    return structlog.get_logger("openpns")
