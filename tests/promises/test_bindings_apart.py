"""No hole: a customer cannot tell another's bindings, numbers and deliveries from absent ones.

Source: docs/api/README.md; docs/errors.md, 10008, 10013 and 19011. `test_customers_apart` is about
groups.
"""

import json
import re
from typing import Any

import msgspec
import pytest
from tests.api.conftest import Server
from tests.helpers import body_of, envelope_of, headers_of
from tests.server import conftest as parts

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.api.registry import ACTIONS
from openpns.core import outbox
from openpns.core.outbox import Event
from openpns.deliveries import endpoints
from openpns.deliveries.wire import DISABLED
from openpns.numbers import service as numbers
from openpns.storage.store import Transaction

secret_box, key, log, server = parts.secret_box, parts.key, parts.log, parts.server

X, STRANGERS_X, ABSENT_X = "85290000001", "85290000002", "85290000003"
A, B, C, D = "85211111111", "85222222222", "85233333333", "85244444444"
ABSENT = "deadbeef" * 4
DELIVERY_ID, STRANGERS_DELIVERY_ID = "1602262000000000001", "1602262000000000002"
CALL = {"callId": "1", "startAt": 1, "hangupAt": 2}
BIND = {"phoneA": C, "expireSecond": 0}

REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    *(
        (action, field, others)
        for field in ("bindId", "customerBindId")
        for action, others in (
            ("unbindAXB", {}),
            ("getBinding", {}),
            *(
                ("updateBinding", change | flags)
                for change in ({}, {"flag": 1}, {"expireSecond": 1}, {"phoneB": C}, {"phoneB": ""})
                for flags in ({}, {"dryRun": True})
            ),
        )
    ),
    *(
        ("bindAXBExtension", "phoneX", BIND | {"extension": digits})
        for digits in ("123", "9", None)
    ),
    *(("bindAXG", "phoneX", BIND | {"groupId": group}) for group in ("own", ABSENT)),
    ("bindAXB", "businessId", BIND | {"phoneB": D}),
    ("bindAXG", "businessId", BIND | {"groupId": "own"}),
    *(("queryAXB", "did", {"caller": caller}) for caller in (A, A[3:], B, D)),
    *(("queryAXB", "did", {"caller": D, "extension": digits}) for digits in ("123", "999")),
    ("getAXBList", "after", {"limit": 1}),
    ("resendDelivery", "id", {}),
    ("getCallRecord", "callId", {}),
    *(
        ("reportCall", field, CALL | others)
        for field in ("callId", "bindId", "did")
        for others in ({}, {"caller": A, "did": X}, {"bindId": ABSENT, "caller": A, "did": X})
    ),
]
"""Requests that are refused, with the field that names what another customer has."""

EMPTY: list[tuple[str, str, dict[str, Any]]] = [
    *(
        ("getAXBList", field, {"limit": 10} | place)
        for field in ("did", "customerBindId", "groupId", "phone")
        for place in ({"offset": 0}, {"after": ""})
    ),
    ("listNumbers", "did", {"limit": 10}),
    *(
        ("listCallRecords", field, {"limit": 10} | others)
        for field in ("did", "bindId", "phone")
        for others in ({}, {"did": X}, {"phone": A})
    ),
    *(("explainCall", "did", {"caller": caller}) for caller in (A, D)),
    ("explainCall", "did", {"caller": D, "extension": "123"}),
    ("bindAXB", "phoneA", {"phoneB": D, "expireSecond": 0, "dryRun": True}),
]
"""Requests that succeed, and show nothing."""

OWN_IDS = {(action, "customerBindId") for action in ("bindAXB", "bindAXBExtension", "bindAXG")}
"""Each customer names its new bindings as it likes."""


class Owned:
    """What one customer has, by the fields that name it, and what nobody has."""

    def __init__(self, bind_id: str, group_id: str) -> None:
        self.there = {
            "bindId": bind_id,
            "customerBindId": "order 1",
            "phoneX": X,
            "did": X,
            "phoneA": X,
            "phone": A,
            "groupId": group_id,
            "businessId": "vip",
            "after": bind_id,
            "id": DELIVERY_ID,
            "callId": "7",
        }
        absent = {
            "callId": "8",
            "phone": C,
            "phoneA": ABSENT_X,
            "phoneX": ABSENT_X,
            "did": ABSENT_X,
            "id": "7",
        }
        self.absent = dict.fromkeys(self.there, ABSENT) | absent


async def add_delivery(server: Server, customer_id: str, delivery_id: str) -> None:
    """Give a customer a webhook with a failed delivery."""
    store, clock = server.services.store, server.clock
    url = f"https://{customer_id.replace('_', '-')}.example.com/"
    await endpoints.set_webhook(store, server.secret_box, clock, customer_id, url)
    await endpoints.set_state(store, clock, customer_id, DISABLED)

    def steps() -> Transaction[None]:
        yield outbox.add(customer_id, Event(delivery_id, "callRecord", b"{}"), clock())

    await store.write(steps)


async def _answer(server: Server, action: str, fields: dict[str, Any], who: NewSecret) -> Any:
    """Return a whole response without its ids."""
    reply = await server.send(action, json.dumps(fields).encode(), key=who)
    headers = headers_of(reply)
    del headers["x-request-id"]
    body = re.sub(rb'"(requestId|callId)":"[0-9]+"', b"", body_of(reply))
    return reply.status, headers, body


async def _data(server: Server, action: str, fields: dict[str, Any], who: NewSecret) -> Any:
    envelope = envelope_of(await server.send(action, json.dumps(fields).encode(), key=who))
    assert envelope["code"] == 0, envelope
    return envelope.get("data") or envelope


@pytest.fixture
async def owned(server: Server) -> Owned:
    """A virtual number of the first customer with a binding of each kind."""
    await numbers.add(server.services.store, server.clock, "cus_1", [X], business_id="vip")
    group = await _data(server, "createGroup", {"phones": "85255555555"}, server.key)
    pair = {"phoneA": A, "phoneB": B, "customerBindId": "order 1", "expireSecond": 0}
    bound = await _data(server, "bindAXB", pair, server.key)
    digits = {"phoneA": A, "phoneX": X, "extension": "123", "expireSecond": 0}
    await _data(server, "bindAXBExtension", digits, server.key)
    members = {"phoneA": "85266666666", "groupId": group["groupId"], "expireSecond": 0}
    await _data(server, "bindAXG", members, server.key)
    await add_delivery(server, "cus_1", DELIVERY_ID)
    lost = {"caller": A, "did": X, "bindId": bound["bindId"]}
    await _data(server, "reportCall", CALL | lost | {"callId": "7"}, server.key)
    return Owned(bound["bindId"], group["groupId"])


@pytest.fixture
async def stranger(server: Server) -> NewSecret:
    """A key of another customer, which has a virtual number and a group."""
    store = server.services.store
    await customers.create(store, server.clock, "cus_2", "")
    made = await access_keys.create(store, server.secret_box, server.clock, "cus_2")
    await numbers.add(store, server.clock, "cus_2", [STRANGERS_X])
    return made


def test_requests_use_every_field_that_names_a_binding_or_a_number() -> None:
    fields = {
        (name, field.encode_name)
        for name, action in ACTIONS.items()
        for field in msgspec.structs.fields(action.request)
        if field.encode_name.lower().endswith(("id", "phonex")) and field.encode_name != "groupId"
    }
    tried = {(action, field) for action, field, _ in REFUSED + EMPTY}
    assert fields - tried - OWN_IDS == set()


async def test_requests_treat_what_another_customer_has_as_absent(
    server: Server, owned: Owned, stranger: NewSecret
) -> None:
    own = (await _data(server, "createGroup", {"phones": "85277777777"}, stranger))["groupId"]
    page = {"limit": 0, "offset": 0}
    before = [
        await _answer(server, action, page, server.key) for action in ("getAXBList", "listNumbers")
    ]
    for action, field, others in REFUSED + EMPTY:
        sent = others | ({"groupId": own} if others.get("groupId") == "own" else {})
        theirs, absent = [
            await _answer(server, action, sent | {field: values[field]}, stranger)
            for values in (owned.there, owned.absent)
        ]
        assert theirs == absent, (action, field, others)
        is_refused = (action, field, others) not in EMPTY
        assert (b'"code":0' not in theirs[2]) == is_refused, (action, field, others)
        for value in ("order 1", owned.there["bindId"], A, B):
            assert value.encode() not in theirs[2]
    after = [
        await _answer(server, action, page, server.key) for action in ("getAXBList", "listNumbers")
    ]
    assert after == before


async def test_customers_see_and_resend_their_own_deliveries_only(
    server: Server, owned: Owned, stranger: NewSecret
) -> None:
    absent = await _answer(server, "getWebhook", {}, stranger)
    assert b'"state":"none"' in absent[2]
    await add_delivery(server, "cus_2", STRANGERS_DELIVERY_ID)
    for key, own, others, other in (
        (server.key, DELIVERY_ID, STRANGERS_DELIVERY_ID, "cus-2"),
        (stranger, STRANGERS_DELIVERY_ID, DELIVERY_ID, "cus-1"),
    ):
        webhook = await _data(server, "getWebhook", {}, key)
        assert other not in webhook["url"]
        for fields in ({"limit": 0}, {"limit": 1}, {"limit": 0, "state": "failed"}):
            page = await _data(server, "listDeliveries", fields, key)
            ids = [delivery["id"] for delivery in page["deliveries"]]
            assert (own in ids, others in ids) == (True, False)
    assert await _data(server, "resendDelivery", {"since": 0}, stranger) == {"count": 1}
    page = await _data(server, "listDeliveries", {"limit": 0}, server.key)
    states = {delivery["id"]: delivery["state"] for delivery in page["deliveries"]}
    assert states[DELIVERY_ID] == "failed"


async def test_own_ids_of_another_customer_are_free(
    server: Server, owned: Owned, stranger: NewSecret
) -> None:
    own = await _data(server, "createGroup", {"phones": "85277777777"}, stranger)
    body = {"customerBindId": owned.there["customerBindId"], "expireSecond": 0}
    for action, fields in (
        ("bindAXB", {"phoneA": A, "phoneB": B}),
        ("bindAXBExtension", {"phoneA": A, "phoneX": STRANGERS_X, "extension": "123"}),
        ("bindAXG", {"phoneA": C, "groupId": own["groupId"]}),
    ):
        bound = await _data(server, action, body | fields, stranger)
        assert bound["did"] == STRANGERS_X
        assert bound["bindId"] != owned.there["bindId"]
        await _data(server, "unbindAXB", {"bindId": bound["bindId"]}, stranger)
    mine = await _data(server, "getBinding", {"customerBindId": "order 1"}, server.key)
    assert mine["bindId"] == owned.there["bindId"]
