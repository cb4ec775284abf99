"""How far a long command is, on stderr."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SHOWN_AFTER_S: Final = 2.0
_REDRAWN_EACH_S: Final = 0.2
_BAR_CELLS: Final = 20
_ERASE_LINE: Final = "\r\x1b[K"


class Progress:
    """What the command has done so far: it sets `done`, and `total` if that is known."""

    def __init__(self, label: str) -> None:
        self.done = 0
        self.total = 0
        self._label = label
        self._began = time.monotonic()

    def text(self) -> str:
        """Return a line: the label, a bar or a count, and the time."""
        parts = [self._label]
        if self.total:
            share = min(1.0, self.done / self.total)
            filled = round(share * _BAR_CELLS)
            parts.append(f"[{'#' * filled}{'-' * (_BAR_CELLS - filled)}] {share:.0%}")
        elif self.done:
            parts.append(str(self.done))
        return "  ".join([*parts, f"{time.monotonic() - self._began:.0f} s"])


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Show progress while the block runs, if it runs for long and stderr is a terminal.

    A thread draws, because the work may be one long statement.
    """
    shown = Progress(label)
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield shown
        return
    is_over = threading.Event()
    drawing = threading.Thread(target=_draw, args=(shown, is_over), daemon=True)
    drawing.start()
    try:
        yield shown
    finally:
        is_over.set()
        drawing.join()


def _draw(shown: Progress, is_over: threading.Event) -> None:
    if is_over.wait(_SHOWN_AFTER_S):
        return
    while True:
        # The cursor waits at the beginning: a message overwrites the line.
        sys.stderr.write(f"{_ERASE_LINE}{shown.text()}\r")
        sys.stderr.flush()
        if is_over.wait(_REDRAWN_EACH_S):
            sys.stderr.write(_ERASE_LINE)
            sys.stderr.flush()
            return
