import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from tests.webhooks.vectors import RECORD, TEST, UNBOUND, record, unbound

from openpns.webhooks import (
    CallRecord,
    Event,
    TestEvent,
    UnboundCall,
    UnknownEvent,
    WebhookMalformed,
)
from openpns.webhooks.events import CALL_RECORD_FIELDS, read_event
from openpns.webhooks.receiver import TIME_ZONE

SENT = datetime(2022, 12, 8, 6, 7, 21, tzinfo=UTC)


def read(body: bytes | str, zone: Any = TIME_ZONE) -> Event:
    return read_event(body.encode() if isinstance(body, str) else body, "msg_1", SENT, zone)


def test_record_has_every_field_typed() -> None:
    assert read(RECORD["body"]) == CallRecord(
        message_id="msg_1",
        sent=SENT,
        id=1234,
        business_id="default",
        customer_bind_id="order-7",
        bind_id="5f0c2b1d9e8a4c7fb6d3e2a1908f7c65",
        call_id="1602262837283131392",
        did="85290000001",
        caller="85211111111",
        callee="85222222222",
        status=1,
        status_text="normal end",
        duration_s=35,
        start=datetime(2022, 12, 8, 6, 6, 40, tzinfo=UTC),
        answer=datetime(2022, 12, 8, 6, 6, 45, tzinfo=UTC),
        hangup=datetime(2022, 12, 8, 6, 7, 20, tzinfo=UTC),
        hangup_cause="NORMAL_CLEARING",
        hangup_code=16,
        hung_up_by="callee",
        record_file="https://records.example.com/1602262837283131392.wav",
        extension_caller=None,
        extension_callee=None,
    )


def test_record_of_a_call_without_an_answer_has_none() -> None:
    empty = dict.fromkeys(("customerBindId", "bindId", "callee", "recordFile"), "")
    event = read(record(**empty, answerAt=0, duration=0, callStatus=2, extensionCallee="042"))
    assert isinstance(event, CallRecord)
    assert (event.answer, event.duration_s, event.status) == (None, 0, 2)
    assert (event.customer_bind_id, event.bind_id, event.callee) == (None, None, None)
    assert (event.record_file, event.extension_callee) == (None, "042")


def test_record_before_the_extensions_is_read() -> None:
    event = read(record(extensionCaller=..., extensionCallee=..., recordFile=...))
    assert isinstance(event, CallRecord)
    assert (event.extension_caller, event.extension_callee) == (None, None)


def test_fields_of_a_record_are_those_that_are_sent() -> None:
    assert tuple(json.loads(RECORD["body"])) == CALL_RECORD_FIELDS


def test_unbound_call_is_typed() -> None:
    assert read(UNBOUND["body"]) == UnboundCall(
        message_id="msg_1",
        sent=SENT,
        request_id="1602262837283131393",
        caller="85211111111",
        did="85290000001",
        extension="042",
        occurred=datetime(2022, 12, 8, 6, 7, 12, tzinfo=UTC),
    )


def test_unbound_call_has_a_time_in_the_zone_of_the_server() -> None:
    params = {"caller": "85211111111", "did": "85290000001"}
    body = unbound(requestParams=params, occurrenceTime="2022-12-08 00:00:00")
    event = read(body, timezone(-timedelta(hours=5)))
    assert isinstance(event, UnboundCall)
    assert event.occurred == datetime(2022, 12, 8, 5, tzinfo=UTC)
    assert event.extension is None


def test_test_is_typed() -> None:
    expected = TestEvent(message_id="msg_1", sent=SENT, request_id="1602262837283131394")
    assert read(TEST["body"]) == expected


def test_unknown_fields_are_ignored() -> None:
    assert read(record(legList=[1], callee2="x")) == read(RECORD["body"])
    assert read(unbound(more={"a": 1})) == read(UNBOUND["body"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "sms", "text": "85211111111"},
        {"callId": "1"},
        {"code": 0},
        {"code": 10013, "data": []},
        {"code": 10013, "data": {"action": "sendSMS"}},
        {"code": 10099, "data": {"action": "queryAXB"}},
        {"code": 0, "callId": "1", "hangupAt": 1},
    ],
)
def test_any_other_object_is_an_unknown_event(body: dict[str, Any]) -> None:
    event = read(json.dumps(body))
    assert event == UnknownEvent(message_id="msg_1", sent=SENT, data=body)
    assert repr(event) == "UnknownEvent(message_id='msg_1')"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (record(startAt="1670479600"), "startAt"),
        (record(startAt=-1), "startAt"),
        (record(hangupAt=253_402_300_800), "hangupAt"),
        (record(id=None), "id"),
        (record(id=1 << 63), "id"),
        (record(duration=1.5), "duration"),
        (record(caller=...), "caller"),
        (record(caller=85211111111), "caller"),
        (record(hangupCode=True), "hangupCode"),
        (unbound(occurrenceTime="2022-12-08"), "occurrenceTime"),
        (unbound(occurrenceTime="2022-13-08 00:00:00"), "occurrenceTime"),
        (unbound(occurrenceTime="0001-01-01 00:00:00"), "occurrenceTime"),
        (unbound(requestParams={"did": "85290000001"}), "requestParams"),
        (b'{"code": 0, "data": {"action": "test"}}', "requestId"),
    ],
)
def test_event_of_a_known_kind_that_does_not_fit_is_malformed(body: bytes, field: str) -> None:
    with pytest.raises(WebhookMalformed, match=f"^the body is not an event .*{field}") as caught:
        read(body)
    assert "852" not in str(caught.value)


@pytest.mark.parametrize("body", [RECORD["body"], UNBOUND["body"], TEST["body"]])
def test_repr_shows_ids_and_no_phone(body: str) -> None:
    shown = repr(read(body))
    assert "msg_1" in shown
    assert "852" not in shown
