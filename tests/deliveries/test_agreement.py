"""What the sender writes and what the receiver's part of the SDK reads are the same."""

import msgspec
import pytest

from openpns.call_records import service as call_records
from openpns.call_records import wire as record_wire
from openpns.client.call_record_types import CallRecord as ClientRecord
from openpns.client.call_record_types import HungUpBy
from openpns.deliveries import wire
from openpns.deliveries.signature import new_secret, sign
from openpns.routing import unbound_calls
from openpns.webhooks import CallRecord, TestEvent, UnboundCall, WebhookEvent
from openpns.webhooks import events as receiver_events
from openpns.webhooks.events import CALL_RECORD_FIELDS
from openpns.webhooks.headers import read_headers
from openpns.webhooks.signature import Secrets, is_secret


def test_fields_of_a_record_are_those_of_the_sender_in_order() -> None:
    sent = msgspec.structs.fields(record_wire.CallRecord)
    assert tuple(field.encode_name for field in sent) == CALL_RECORD_FIELDS


def test_record_of_a_webhook_has_the_names_of_the_clients_record() -> None:
    of_every_event = set(WebhookEvent.__struct_fields__)
    fields = [name for name in CallRecord.__struct_fields__ if name not in of_every_event]
    assert fields == list(ClientRecord.__struct_fields__)
    assert receiver_events.HungUpBy == HungUpBy


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        (CallRecord, {call_records.EVENT, wire.CALL_RECORD}),
        (UnboundCall, {unbound_calls.KIND, wire.UNBOUND_CALL}),
        (TestEvent, {wire.TEST}),
    ],
)
def test_kinds_are_the_same(event: type[WebhookEvent], kinds: set[str]) -> None:
    assert {event.kind} == kinds


def test_secret_and_signature_of_the_sender_are_those_that_a_receiver_accepts() -> None:
    secrets = [new_secret(), new_secret()]
    assert all(map(is_secret, secrets))
    headers = {
        "webhook-id": f"{wire.WEBHOOK_ID_PREFIX}1602262837283131392",
        "webhook-timestamp": "1670479632",
        "webhook-signature": sign(secrets, "msg_1602262837283131392", 1_670_479_632, b"{}"),
    }
    found = read_headers(headers)
    assert len(found.signatures) == 2
    assert all(Secrets(secret).match(found, b"{}") for secret in secrets)
    assert not Secrets(new_secret()).match(found, b"{}")
