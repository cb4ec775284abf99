"""Give the memory of a peak back to the system.

glibc keeps freed memory that lies below memory in use. After a peak of requests or of responses
that were not taken, that is most of it, for as long as the process lives.
"""

import ctypes
from collections.abc import Callable
from typing import Final

_PEAK_BYTES: Final = 8 * 1024 * 1024
"""Peaks below this are not worth the time: a trim takes some milliseconds."""
_LOW_SHARE: Final = 4


class PeakTrim:
    """Trims the heap after a peak of held bytes, or after much was freed; needs glibc.

    Args:
        trim: Gives free memory back.
    """

    def __init__(self, trim: Callable[[], object] | None = None) -> None:
        self._trim = trim or _trim
        self._peak_bytes = 0
        self._freed_bytes = 0

    def note(self, held_bytes: int, freed_bytes: int = 0) -> None:
        """Note how many bytes are held, and how many others were freed; called once a second."""
        self._peak_bytes = max(self._peak_bytes, held_bytes)
        self._freed_bytes += freed_bytes
        is_over = self._peak_bytes >= _PEAK_BYTES and held_bytes <= self._peak_bytes // _LOW_SHARE
        if is_over or self._freed_bytes >= _PEAK_BYTES:
            self._peak_bytes = self._freed_bytes = 0
            self._trim()


def _trim() -> None:
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
