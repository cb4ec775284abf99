"""What each delivery is answered with, and what is shown of it. No I/O but forwarding."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from openpns.cli.listen.forwarding import Answer, Forwarder, Pairs
from openpns.clock import Clock, now_ms
from openpns.webhooks import Event, Receiver, Repeats, WebhookError

_EVENTS_MAX: Final = 10_000
"""Whose attempts are counted; the one that came first is forgotten first."""
_OK: Final = 200
_FAILED: Final = 500


class Received(msgspec.Struct, frozen=True):
    """A verified delivery, and how it is answered; `attempt` counts from 1."""

    at_ms: int
    event: Event
    body: bytes
    attempt: int
    status: int

    def __repr__(self) -> str:  # without the phones
        return f"Received({self.event!r})"


class Refused(msgspec.Struct, frozen=True):
    """A delivery that is not accepted."""

    status: int
    why: str


Shown: TypeAlias = Received | Refused


class Rules(msgspec.Struct, frozen=True):
    """How valid deliveries are answered.

    Attributes:
        status: None for 200, or for 500 with `failures`.
        failures: How many attempts of each event get the status; None for all.
        forward: Where others go; their response is the answer.
    """

    status: int | None = None
    failures: int | None = None
    forward: Forwarder | None = None

    def find_answer(self, attempt: int) -> Answer | None:
        """Return the answer to an attempt; None if it is to be forwarded."""
        if self.failures is not None and attempt <= self.failures:
            return Answer(self.status or _FAILED, f"failure {attempt} of {self.failures}")
        if self.failures is None and self.status is not None:
            return Answer(self.status, "as asked for")
        return Answer(_OK, "received") if self.forward is None else None


class Answers:
    """Answers deliveries. Thread-safe.

    Args:
        repeats: Events that were answered with success are not shown and forwarded again; None if
            they are.
        show: Shows a delivery; it returns when that is done.
    """

    def __init__(
        self,
        receiver: Receiver,
        rules: Rules,
        repeats: Repeats | None,
        show: Callable[[Shown], None],
        clock: Clock = now_ms,
    ) -> None:
        self.body_bytes_max = receiver.body_bytes_max
        self._receiver = receiver
        self._rules = rules
        self._repeats = repeats
        self._show = show
        self._clock = clock
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, body: bytes, headers: Pairs) -> Answer:
        """Return the answer to a delivery, after it was shown."""
        try:
            event = self._receiver.verify(body, headers)
            if self._repeats is None:
                return self._handle(event, body, headers)
            return self._handle_once(self._repeats, event, body, headers)
        except WebhookError as error:
            return self.refuse(error)

    def refuse(self, error: WebhookError) -> Answer:
        """Return the answer to a delivery that is not accepted, after it was shown."""
        self._show(Refused(error.http_status, str(error)))
        return Answer(error.http_status, str(error))

    def _handle_once(self, repeats: Repeats, event: Event, body: bytes, headers: Pairs) -> Answer:
        try:
            with repeats.once(event.message_id) as is_new:
                if not is_new:
                    return Answer(_OK, "repeated")
                answer = self._handle(event, body, headers)
                if not answer.is_success:
                    raise _NotTaken(answer)
                return answer
        except _NotTaken as error:
            return error.answer

    def _handle(self, event: Event, body: bytes, headers: Pairs) -> Answer:
        at_ms = self._clock()
        attempt = self._count(event.message_id)
        answer = self._rules.find_answer(attempt)
        if answer is None:
            assert self._rules.forward is not None
            answer = self._rules.forward.send(body, headers)
        self._show(Received(at_ms, event, body, attempt, answer.status))
        return answer

    def _count(self, message_id: str) -> int:
        with self._lock:
            attempt = self._attempts.get(message_id, 0) + 1
            self._attempts[message_id] = attempt
            if len(self._attempts) > _EVENTS_MAX:
                self._attempts.popitem(last=False)
            return attempt


class _NotTaken(Exception):
    """The event was answered with an error, and so is not handled."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.status)
