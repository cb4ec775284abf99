import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.webhooks.vectors import RECORD, SECRET, headers_of

from openpns.cli.listen import answers as module
from openpns.cli.listen.answers import Answers, Received, Refused, Rules, Shown
from openpns.cli.listen.forwarding import Answer
from openpns.webhooks import Receiver, Repeats, signed_headers

AT_MS = int(RECORD["timestamp"]) * 1000
BODY = RECORD["body"].encode()


class FakeForward:
    """Answers with these statuses, one after the other."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.sent: list[bytes] = []

    def send(self, body: bytes, _: Any) -> Answer:
        self.sent.append(body)
        return Answer(self.statuses.pop(0), "forwarded")


def answering(
    *, repeats: Repeats | None = None, show: Callable[[Shown], None] | None = None, **rules: Any
) -> tuple[Callable[..., int], list[Shown]]:
    shown: list[Shown] = []
    receiver = Receiver(SECRET, clock=lambda: AT_MS)
    made = Answers(receiver, Rules(**rules), repeats, show or shown.append, lambda: AT_MS)

    def answer(number: int = 1, body: bytes = BODY) -> int:
        headers = signed_headers(
            body, SECRET, message_id=f"msg_{number}", timestamp_s=AT_MS // 1000
        )
        return made.answer(body, list(headers.items())).status

    return answer, shown


def test_valid_delivery_is_shown_and_answered_with_200() -> None:
    answer, shown = answering()
    assert [answer(), answer(), answer(2)] == [200, 200, 200]
    found = [one for one in shown if isinstance(one, Received)]
    assert [(one.event.message_id, one.attempt, one.status) for one in found] == [
        ("msg_1", 1, 200),
        ("msg_1", 2, 200),
        ("msg_2", 1, 200),
    ]
    assert (found[0].at_ms, found[0].body) == (AT_MS, BODY)
    assert "852" not in repr(found)


def test_delivery_that_is_not_valid_is_refused_and_shown() -> None:
    shown: list[Shown] = []
    made = Answers(Receiver(SECRET, clock=lambda: AT_MS), Rules(), None, shown.append)
    found = [
        made.answer(BODY + b" ", list(headers_of(RECORD).items())),
        made.answer(BODY, []),
    ]
    assert [one.status for one in found] == [401, 400]
    assert [(one.status, one.why) for one in shown if isinstance(one, Refused)] == [
        (one.status, one.text) for one in found
    ]
    assert found[0].text.startswith("webhook-signature: does not match")


@pytest.mark.parametrize("status", [204, 410, 500])
def test_status_is_that_of_every_valid_delivery(status: int) -> None:
    answer, _ = answering(status=status)
    assert [answer(), answer(), answer(2)] == [status] * 3
    assert answer(body=b"[]") == 400


@pytest.mark.parametrize(("status", "failure"), [(None, 500), (429, 429)])
def test_first_attempts_of_each_event_fail(status: int | None, failure: int) -> None:
    answer, _ = answering(status=status, failures=2)
    found = [answer(1), answer(1), answer(2), answer(1), answer(2), answer(2)]
    assert found == [failure, failure, failure, 200, failure, 200]


def test_answer_is_that_of_the_forward_url() -> None:
    forward = FakeForward(404, 200)
    answer, shown = answering(failures=1, forward=forward)
    assert [answer(), answer(), answer()] == [500, 404, 200]
    assert forward.sent == [BODY, BODY]
    assert [one.status for one in shown] == [500, 404, 200]


def test_repeat_of_what_was_delivered_is_not_handled_again() -> None:
    forward = FakeForward(500, 200)
    answer, shown = answering(repeats=Repeats(), forward=forward)
    assert [answer(), answer(), answer()] == [500, 200, 200]
    assert len(shown) == len(forward.sent) == 2


def test_repeat_during_the_first_delivery_is_refused() -> None:
    begun, end = threading.Event(), threading.Event()
    statuses: list[int] = []

    def wait(shown: Shown) -> None:
        if isinstance(shown, Received):
            begun.set()
            assert end.wait(60)

    answer, _ = answering(repeats=Repeats(), show=wait)
    thread = threading.Thread(target=lambda: statuses.append(answer()))
    thread.start()
    assert begun.wait(60)
    assert answer() == 503
    end.set()
    thread.join()
    assert [*statuses, answer()] == [200, 200]


def test_count_of_attempts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVENTS_MAX", 2)
    answer, shown = answering()
    for number in (1, 2, 3, 1, 3):
        answer(number)
    assert [one.attempt for one in shown if isinstance(one, Received)] == [1, 1, 1, 1, 2]
