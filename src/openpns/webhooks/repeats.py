"""Handle each event once, although it may arrive more than once.

An event arrives again if the receiver's response was lost or late, or if it is sent again on
purpose; its `message_id` stays the same.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, Protocol, TypeAlias

from openpns.errors import ConfigError
from openpns.kit.forks import renew_after_fork, renew_if_forked
from openpns.webhooks.errors import WebhookInProgress

State: TypeAlias = Literal["new", "busy", "done"]
"""Of an event: never seen, being handled at this moment, or handled."""

KEPT_S: Final = 4 * 86_400.0
"""Longer than the longest schedule of the server's attempts."""
IDS_MAX: Final = 100_000


class SeenIds(Protocol):
    """Which events were handled: in memory, in Redis, in a table.

    Several processes may share one. An event that was begun and is neither finished nor abandoned,
    because its process ended, must become new again after some time, such as a minute.
    """

    def begin(self, message_id: str) -> State:
        """Return the state of an event; a new one is busy from now on. One step, for rivals."""
        ...

    def finish(self, message_id: str) -> None:
        """Note that an event was handled."""
        ...

    def abandon(self, message_id: str) -> None:
        """Note that an event was not handled; it is new again."""
        ...


class SeenInMemory:
    """The ids of one process. Thread-safe.

    Args:
        kept_s: How long an id is remembered after its event was handled.
        ids_max: How many are remembered, about 250 bytes each; the oldest is forgotten first.
        clock: A monotonic time in s, for tests.

    Raises:
        ConfigError: An argument is not allowed.
    """

    def __init__(
        self,
        *,
        kept_s: float = KEPT_S,
        ids_max: int = IDS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not kept_s > 0:
            raise ConfigError("kept_s: allowed is a number of seconds above 0")
        if type(ids_max) is not int or ids_max < 1:
            raise ConfigError("ids_max: allowed is 1 or more")
        self._kept_s = kept_s
        self._ids_max = ids_max
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._done: OrderedDict[str, float] = OrderedDict()  # a dict finds its first slowly
        """By id, until when it is remembered; the oldest first."""
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget what threads of the parent hold; see `kit.forks`."""
        self._lock = threading.Lock()
        self._busy = set()

    def begin(self, message_id: str) -> State:
        """See `SeenIds`."""
        renew_if_forked()
        with self._lock:
            self._forget_old()
            if message_id in self._done:
                return "done"
            if message_id in self._busy:
                return "busy"
            self._busy.add(message_id)
            return "new"

    def finish(self, message_id: str) -> None:
        """See `SeenIds`."""
        with self._lock:
            self._busy.discard(message_id)
            self._done.pop(message_id, None)
            self._done[message_id] = self._clock() + self._kept_s
            while len(self._done) > self._ids_max:
                self._done.popitem(last=False)

    def abandon(self, message_id: str) -> None:
        """See `SeenIds`."""
        with self._lock:
            self._busy.discard(message_id)

    def _forget_old(self) -> None:
        now_s = self._clock()
        while self._done:
            oldest = next(iter(self._done))
            if self._done[oldest] > now_s:
                return
            del self._done[oldest]


class Repeats:
    """Drops repeats of events.

        with repeats.once(event.message_id) as is_new:
            if is_new:
                handle(event)

    Args:
        seen: Where it is kept which events were handled; None for this process's memory.
    """

    def __init__(self, seen: SeenIds | None = None) -> None:
        self._seen = SeenInMemory() if seen is None else seen

    @contextmanager
    def once(self, message_id: str) -> Iterator[bool]:
        """Return whether the event is new; it counts as handled only if the block succeeds.

        If the block raises, or its task is cancelled, the event is new again: answer with an error,
        and the sender tries again.

        Raises:
            WebhookInProgress: The event is being handled at this moment. Answer with its status:
                if that handling failed, a success that was already reported would lose the event.
        """
        state = self._seen.begin(message_id)
        if state == "busy":
            raise WebhookInProgress("this event is being handled at this moment; try again later")
        if state == "done":
            yield False
            return
        try:
            yield True
        except BaseException:
            self._seen.abandon(message_id)
            raise
        self._seen.finish(message_id)
