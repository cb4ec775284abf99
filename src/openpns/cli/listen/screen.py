"""Hands what threads show to the main thread, which alone writes to stdout."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Final, NoReturn

from openpns.cli.listen.answers import Shown

_LOOK_EACH_S: Final = 0.2
"""A signal that another thread receives does not wake the main thread; it is seen between two."""


class Screen:
    """A queue of deliveries to show."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Shown | BaseException, Future[None]]] = SimpleQueue()
        self._is_closed = False

    def show(self, shown: Shown) -> None:
        """Let the main thread show a delivery, and wait until it is done.

        Raises:
            CancelledError: It was not shown, because the command ends.
        """
        done: Future[None] = Future()
        self._queue.put((shown, done))
        if self._is_closed:  # perhaps nobody reads the queue any more
            done.cancel()
        done.result()

    def fail(self, error: BaseException) -> None:
        """Let the main thread raise an error."""
        self._queue.put((error, Future()))

    def run(self, write: Callable[[Shown], None]) -> NoReturn:
        """Show deliveries until an exception ends it."""
        while True:
            try:
                shown, done = self._queue.get(timeout=_LOOK_EACH_S)
            except Empty:
                continue
            try:
                if isinstance(shown, BaseException):
                    raise shown
                write(shown)
            except BaseException:
                done.cancel()
                raise
            done.set_result(None)

    def close(self) -> None:
        """Show nothing more."""
        self._is_closed = True
        while True:
            try:
                _, done = self._queue.get_nowait()
            except Empty:
                return
            done.cancel()
