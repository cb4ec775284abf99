"""Structured logs, as JSON or text, including those of libraries."""

import asyncio
import logging
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, MutableMapping
from pathlib import Path
from time import monotonic
from typing import Any, Final

import structlog

_NAME: Final = "openpns"
_used: Final = threading.local()
LIBRARY_LINES_PER_S_MAX: Final = 20
"""Log lines a second and process of libraries and of the transport; further ones are omitted."""

_SHARED: Final[list[Any]] = [
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def describe_error(error: BaseException | None) -> dict[str, object]:
    """Return the facts of an error for a log line: its type and the code locations it passed.

    Its text and the values of variables are omitted: they may contain a secret or a phone. Notes
    are added by openpns only, for an operator.
    """
    if error is None:
        return {}
    frames = traceback.extract_tb(error.__traceback__)
    notes = getattr(error, "__notes__", None)
    return {
        "cause": type(error).__name__,
        **({"why": "; ".join(notes)} if notes else {}),
        "trace": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


def configure(log_format: str, level: str) -> None:
    """Write all log lines of a level or above to stderr in a format, "console" or "json"."""
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
    handler.addFilter(_LibraryLineBound())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter for `log_format`, "console" or "json"."""
    renderer: Any = structlog.processors.JSONRenderer()
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _describe_logged_error,
            renderer,
        ],
        foreign_pre_chain=_SHARED,
    )


def _describe_logged_error(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace an error that a library logs by its facts; renderers would print every variable."""
    exc_info = event.pop("exc_info", None)
    if exc_info:
        is_tuple = isinstance(exc_info, tuple)
        event.update(describe_error(exc_info[1] if is_tuple else sys.exception()))
        # Below the first line, asyncio shows the task or future, with the text of its error.
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


class LineBound:
    """Allow so many lines a second; count the others and log their counts a second later.

    Args:
        lines_max: Lines a second, in sum.
        lines_per_key_max: Lines a second with the same key; as many as in sum if not given.
        on_omitted: Called for each line that is not allowed.
    """

    def __init__(
        self,
        log: Any,
        lines_max: int,
        lines_per_key_max: int | None = None,
        on_omitted: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._lines_max = lines_max
        self._lines_per_key_max = lines_max if lines_per_key_max is None else lines_per_key_max
        self._on_omitted = on_omitted
        self._lines: Counter[str | None] = Counter()  # has a key for each allowed line at most
        self._started_s = float("-inf")
        self._omitted: Counter[int] = Counter()

    def allows(self, code: int, key: str | None = None) -> bool:
        """Return whether a line may be written now, or count it by its code.

        Needs a running event loop.
        """
        now_s = monotonic()
        if now_s - self._started_s >= 1 and not self._omitted:
            self._started_s = now_s
            self._lines.clear()
        is_allowed = (
            self._lines.total() < self._lines_max and self._lines[key] < self._lines_per_key_max
        )
        if is_allowed:
            self._lines[key] += 1
            return True
        if not self._omitted:
            asyncio.get_running_loop().call_later(1, self._report)
        self._omitted[code] += 1
        self._on_omitted()
        return False

    def _report(self) -> None:
        counts = {str(code): count for code, count in sorted(self._omitted.items())}
        self._omitted.clear()
        self._log.warning("request lines omitted", by_code=counts)


class _LibraryLineBound(logging.Filter):
    """Allow so many lines a second of loggers other than openpns's own."""

    def __init__(self) -> None:
        super().__init__()
        self._started_s = float("-inf")
        self._lines = self._omitted = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line may be written; it says how many before it were not."""
        if record.name == _NAME:
            return True
        now_s = monotonic()
        if now_s - self._started_s >= 1:
            self._started_s, self._lines = now_s, 0
        self._lines += 1
        if self._lines > LIBRARY_LINES_PER_S_MAX:
            self._omitted += 1
            return False
        if self._omitted:
            record.msg, record.args = f"{record.getMessage()} ({self._omitted} lines omitted)", ()
            self._omitted = 0
        return True


def logger() -> Any:
    """Return the server's logger, or the one that `use` has set."""
    return getattr(_used, "log", None) or structlog.get_logger(_NAME)


def use(log: Any) -> None:
    """Let `logger` return another one in this thread.

    For a program whose logs are not openpns's to configure.
    """
    _used.log = log
