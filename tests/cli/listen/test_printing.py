import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.webhooks.vectors import RECORD, TEST, UNBOUND, record, unbound

from openpns.cli.listen.answers import Received, Refused
from openpns.cli.listen.printing import line_of
from openpns.webhooks.events import read_event
from openpns.webhooks.receiver import TIME_ZONE

AT_MS = 1_670_479_641_500


def received(body: bytes | str, attempt: int = 1, status: int = 200) -> Received:
    raw = body.encode() if isinstance(body, str) else body
    event = read_event(raw, "msg_1", datetime(2022, 12, 8, tzinfo=UTC), TIME_ZONE)
    return Received(AT_MS, event, raw, attempt, status)


def line(body: bytes | str, *, show_numbers: bool = False, **options: Any) -> str:
    return line_of(received(body, **options), as_json=False, show_numbers=show_numbers)


def body_of(body: bytes | str, *, show_numbers: bool = False) -> Any:
    text = line_of(received(body), as_json=True, show_numbers=show_numbers)
    assert "\n" not in text
    return json.loads(text)["body"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            RECORD["body"],
            (
                "callRecord  msg_1  85211****11 -> 85290****01 -> 85222****22  35 s  "
                "NORMAL_CLEARING 16  attempt 1  200"
            ),
        ),
        (
            record(answerAt=0, callee="", hangupCause=""),
            "callRecord  msg_1  85211****11 -> 85290****01 -> -  not answered  16  attempt 1  200",
        ),
        (
            UNBOUND["body"],
            "unboundCall  msg_1  85211****11 -> 85290****01 and 042  no binding  attempt 1  200",
        ),
        (TEST["body"], "test  msg_1  attempt 1  200"),
        ('{"caller": "85211111111"}', "unknown  msg_1  attempt 1  200"),
    ],
)
def test_event_is_one_line_with_masked_phones(body: bytes | str, expected: str) -> None:
    assert line(body) == f"06:07:21Z  {expected}"


def test_line_shows_numbers_attempt_and_status() -> None:
    shown = line(RECORD["body"], show_numbers=True, attempt=3, status=503)
    assert "  85211111111 -> 85290000001 -> 85222222222  " in shown
    assert shown.endswith("  attempt 3  503")


def test_line_is_safe_for_a_terminal() -> None:
    shown = line(record(hangupCause="\x1b[31mred\u202e\nnew" + "x" * 1000, caller="\x1b]0;a\x07"))
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert "\u202e" not in shown
    assert len(shown) < 500


def test_free_text_shows_no_phone() -> None:
    assert "85211111111" not in line(record(hangupCause="from 85211111111"))


def test_json_has_the_body_with_masked_phones() -> None:
    masked = {"caller": "85211****11", "did": "85290****01", "callee": "85222****22"}
    file = {"recordFile": "https://records.example.com/1602262*********92.wav"}
    assert body_of(RECORD["body"])["recordFile"].startswith("https://records.example.com/1602262")
    shown = body_of(RECORD["body"])
    assert shown | file == json.loads(RECORD["body"]) | masked | file
    call = body_of(UNBOUND["body"])["data"]["requestParams"]
    assert call == {"caller": "85211****11", "did": "85290****01", "extension": "042"}


def test_json_shows_the_body_as_sent_on_request() -> None:
    assert body_of(RECORD["body"], show_numbers=True) == json.loads(RECORD["body"])


def test_json_has_the_facts_of_the_delivery() -> None:
    shown = line_of(received(TEST["body"], 2, 500), as_json=True, show_numbers=False)
    found = json.loads(shown)
    del found["body"]
    assert found == {
        "atMs": AT_MS,
        "webhookId": "msg_1",
        "kind": "test",
        "attempt": 2,
        "status": 500,
    }


@pytest.mark.parametrize(
    "body",
    [
        '{"caller": "85211111111", "a": ["+85211111111", {"85211111111": 1}], "b": 85211111111}',
        '{"text": "from 85211111111 to you", "callId": "85211111111", "c": 85211111111.5}',
        record(note="85211111111", callStatusMsg="85211111111").decode(),
        record(recordFile="https://a.example/x.wav?phone=85211111111").decode(),
        unbound(more=[85211111111, None, True, 1.5]).decode(),
    ],
)
def test_json_masks_phones_in_any_field(body: str) -> None:
    shown = line_of(received(body), as_json=True, show_numbers=False)
    assert "85211111111" not in shown
    assert "85211111111" in line_of(received(body), as_json=True, show_numbers=True)


def test_secret_of_a_recording_is_not_shown() -> None:
    body = record(recordFile="https://a.example/x.wav?token=hunter22")
    assert body_of(body)["recordFile"] == "https://a.example/x.wav"


def test_json_is_safe_for_a_terminal() -> None:
    shown = line_of(received('{"a": "\\u001b[31m\u202e"}'), as_json=True, show_numbers=True)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert json.loads(shown)["body"] == {"a": "\x1b[31m\u202e"}


def test_refusal_is_one_line() -> None:
    text = line_of(Refused(401, "a\nb"), as_json=True, show_numbers=False)
    assert text == "openpns: refused with 401: a\ufffdb"
