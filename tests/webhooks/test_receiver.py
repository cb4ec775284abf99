import json
import traceback
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.webhooks.vectors import (
    OTHER_SECRET,
    RECORD,
    SECRET,
    TEST,
    UNBOUND,
    UNICODE_RECORD,
    headers_of,
    record,
)

from openpns.errors import ConfigError, OpenPNSError
from openpns.webhooks import (
    CallRecord,
    Receiver,
    TestEvent,
    UnboundCall,
    UnknownEvent,
    WebhookError,
    WebhookEvent,
    WebhookExpired,
    WebhookMalformed,
    WebhookSignatureMismatch,
    WebhookTooLarge,
    signed_headers,
    verify,
)
from openpns.webhooks.events import CALL_RECORD_FIELDS

AT_S = int(RECORD["timestamp"])
BODY = RECORD["body"].encode()


def receiver_at(
    late_ms: int = 0, secrets: Any = (SECRET, OTHER_SECRET), **options: Any
) -> Receiver:
    return Receiver(secrets, clock=lambda: AT_S * 1000 + late_ms, **options)


@pytest.mark.parametrize(
    ("vector", "kind"),
    [
        (RECORD, CallRecord),
        (UNICODE_RECORD, CallRecord),
        (UNBOUND, UnboundCall),
        (TEST, TestEvent),
    ],
)
def test_vector_is_verified_and_typed(vector: dict[str, str], kind: type) -> None:
    event = receiver_at().verify(vector["body"].encode(), headers_of(vector))
    assert type(event) is kind
    assert event.message_id == vector["id"]
    assert event.sent == datetime.fromtimestamp(int(vector["timestamp"]), UTC)


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_raw_bytes_of_any_type_are_accepted(form: Any) -> None:
    assert isinstance(receiver_at().verify(form(BODY), headers_of(RECORD)), CallRecord)


@pytest.mark.parametrize("late_ms", [-300_000, 0, 300_000])
def test_timestamp_within_the_tolerance_is_accepted(late_ms: int) -> None:
    assert receiver_at(late_ms).verify(BODY, headers_of(RECORD))


@pytest.mark.parametrize(
    ("late_ms", "text"),
    [
        (300_001, "300 s before this machine's time; allowed are 300 s"),
        (86_400_000, "86400 s before this machine's time"),
        (-300_001, "300 s after this machine's time"),
        (-AT_S * 1000, f"{AT_S} s after this machine's time"),
    ],
)
def test_timestamp_that_is_too_old_or_too_new_is_refused(late_ms: int, text: str) -> None:
    with pytest.raises(WebhookExpired, match=f"^webhook-timestamp: {text}") as caught:
        receiver_at(late_ms).verify(BODY, headers_of(RECORD))
    assert caught.value.http_status == 401


def test_timestamp_beyond_the_calendar_is_too_new() -> None:
    headers = headers_of(RECORD) | {"webhook-timestamp": "999999999999"}
    with pytest.raises(WebhookExpired):
        receiver_at().verify(BODY, headers)


def test_tolerance_is_an_argument() -> None:
    narrow = receiver_at(2001, tolerance_s=2)
    with pytest.raises(WebhookExpired):
        narrow.verify(BODY, headers_of(RECORD))
    assert receiver_at(3_600_000, tolerance_s=3600).verify(BODY, headers_of(RECORD))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY.replace(b"35", b"36"), headers_of(RECORD)),
        (BODY + b"\n", headers_of(RECORD)),
        (b"", headers_of(RECORD)),
        (BODY, headers_of(RECORD) | {"webhook-id": UNBOUND["id"]}),
        (BODY, headers_of(RECORD) | {"webhook-timestamp": str(AT_S + 1)}),
        (BODY, headers_of(RECORD) | {"webhook-signature": UNBOUND["signature"]}),
    ],
)
def test_changed_delivery_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(WebhookSignatureMismatch, match=r"^webhook-signature: does not") as caught:
        receiver_at().verify(body, headers)
    assert caught.value.http_status == 401


def test_secret_that_is_no_longer_in_force_is_refused() -> None:
    with pytest.raises(WebhookSignatureMismatch):
        receiver_at(secrets=OTHER_SECRET).verify(BODY, headers_of(RECORD))


def test_large_body_is_refused_before_it_is_verified() -> None:
    assert receiver_at(body_bytes_max=len(BODY)).verify(BODY, headers_of(RECORD))
    with pytest.raises(WebhookTooLarge, match=r"^the body is larger than 99 bytes") as caught:
        receiver_at(body_bytes_max=99).verify(BODY, {})
    assert caught.value.http_status == 413
    assert isinstance(caught.value, WebhookMalformed)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b'{"a": 1} x', b"\xef\xbb\xbf{}", b"[" * 100_000, b"\xff"]
)
def test_signed_body_that_is_not_an_object_is_malformed(body: bytes) -> None:
    message = b"{}" if body == b"\xff" else body
    headers = signed_headers(message, SECRET, timestamp_s=AT_S)
    with pytest.raises(WebhookMalformed, match=r"^the body is not"):
        receiver_at().verify(body, headers)


_NAMES = st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "x"])
_VALUES = st.text() | st.binary() | st.sampled_from([*headers_of(RECORD).values(), "v1,", " "])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(), st.lists(st.tuples(_NAMES, _VALUES)))
def test_no_headers_and_no_body_raise_anything_else(body: bytes, headers: Any) -> None:
    with pytest.raises(WebhookError):
        receiver_at().verify(body, headers)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
)
_FIELDS = st.sampled_from([*CALL_RECORD_FIELDS, "code", "data", "requestId"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_FIELDS, _JSON), st.booleans())
def test_signed_body_is_an_event_or_malformed(fields: dict[str, Any], is_record: bool) -> None:
    body = json.dumps(json.loads(BODY) | fields if is_record else fields).encode()
    try:
        event = receiver_at().verify(body, signed_headers(body, SECRET, timestamp_s=AT_S))
    except WebhookMalformed:
        return
    assert isinstance(event, WebhookEvent)


def test_every_error_is_one_of_openpns_and_of_webhooks() -> None:
    assert issubclass(WebhookError, OpenPNSError)
    for kind in (WebhookExpired, WebhookMalformed, WebhookSignatureMismatch, WebhookTooLarge):
        assert issubclass(kind, WebhookError)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, {}),
        (BODY[:-1], headers_of(RECORD)),
        (BODY, headers_of(RECORD) | {"webhook-timestamp": "1"}),
        (record(startAt="85211111111"), None),
        (record(hangupAt=85_211_111_111_000), None),
        (b'"85211111111"', None),
    ],
)
def test_error_and_its_traceback_show_no_phone_and_no_secret(body: bytes, headers: Any) -> None:
    if headers is None:
        headers = signed_headers(body, SECRET, timestamp_s=AT_S)
    with pytest.raises(WebhookError) as caught:
        receiver_at().verify(body, headers)
    own = [
        frame.f_locals
        for frame, _ in traceback.walk_tb(caught.value.__traceback__)
        if "test_" not in frame.f_code.co_filename
    ]
    assert own
    assert caught.value.__context__ is None
    shown = repr([str(caught.value), own])
    assert "85211111111" not in shown
    assert SECRET[6:20] not in shown


@pytest.mark.parametrize(
    "options",
    [
        {"tolerance_s": 0},
        {"tolerance_s": 3601},
        {"tolerance_s": float("nan")},
        {"tolerance_s": True},
        {"tolerance_s": "300"},
        {"body_bytes_max": 0},
        {"body_bytes_max": 1.5},
        {"time_zone": "+08:00"},
    ],
)
def test_argument_out_of_bounds_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(options))}: allowed "):
        receiver_at(**options)


@pytest.mark.parametrize("body", [RECORD["body"], {"id": 1}, None])
def test_body_that_is_not_raw_is_a_mistake_of_the_program(body: Any) -> None:
    with pytest.raises(ConfigError, match=r"^body: allowed are the raw bytes of the request, not"):
        receiver_at().verify(body, headers_of(RECORD))


def test_repr_has_no_secret() -> None:
    assert repr(receiver_at()) == "Receiver(tolerance_s=300, body_bytes_max=1048576)"


def test_verify_uses_the_time_of_this_machine() -> None:
    event = verify(b'{"new": 1}', signed_headers(b'{"new": 1}', SECRET), SECRET)
    assert isinstance(event, UnknownEvent)
    with pytest.raises(WebhookExpired):
        verify(BODY, headers_of(RECORD), SECRET)
