"""No hole: a customer cannot tell the groups of another customer from groups that do not exist.

Source: docs/api/README.md; docs/errors.md, 19001.
"""

import json
import re
from typing import Any

import msgspec
import pytest
from tests.api.conftest import Server
from tests.helpers import LIST_ALL, body_of, envelope_of, headers_of
from tests.server import conftest as parts

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.api.registry import ACTIONS
from openpns.numbers import service as numbers

secret_box, key, log, server = parts.secret_box, parts.key, parts.log, parts.server

PHONES = "85211111114"
ABSENT = "deadbeef" * 4
OWN_DID = "85290000001"
REQUESTS = [
    *(
        ("updateGroup", {"operateType": operate, "phones": phones})
        for operate in (0, 1, 2, 3, -1, None, "0")
        for phones in (PHONES, "8613800138000", "", "+85211111114, 85235753351", "x", ",", None)
    ),
    *(
        ("updateGroup", {"groupName": "mine"} | flags)
        for flags in ({}, {"detail": True}, {"dryRun": True})
    ),
    ("deleteGroup", {}),
    ("getGroup", {}),
    *(("listGroupPhones", {"limit": limit, "offset": 0}) for limit in (0, 1, 10_001)),
    *(
        ("bindAXG", {"phoneA": PHONES, "expireSecond": 0} | others)
        for others in ({}, {"phoneX": OWN_DID}, {"phoneB": "85235753351"}, {"dryRun": True})
    ),
]
"""Every action on one group, with good and bad values for its other fields."""
SEARCHES = [
    {"offset": 0},
    {"offset": 0, "order": "name"},
    {"after": ""},
    {"offset": 0, "groupName": "v"},
    {"offset": 0, "phone": PHONES},
]
"""The other fields of listGroup, if it searches for a group."""


async def _answer(server: Server, action: str, fields: dict[str, Any], who: NewSecret) -> Any:
    """Return a whole response without its requestId."""
    reply = await server.send(action, json.dumps(fields).encode(), key=who)
    headers = headers_of(reply)
    del headers["x-request-id"]
    return reply.status, headers, re.sub(rb'"requestId":"[0-9]+"', b"", body_of(reply))


@pytest.fixture
async def other_customer(server: Server) -> NewSecret:
    """A key of another customer, which has a group and a virtual number."""
    store = server.services.store
    await customers.create(store, server.clock, "cus_2", "")
    made = await access_keys.create(store, server.secret_box, server.clock, "cus_2")
    await numbers.add(store, server.clock, "cus_2", [OWN_DID])
    assert await server.code("createGroup", b'{"phones":"85235753351"}', key=made) == 0
    return made


async def _group_of(server: Server, owner: NewSecret) -> str:
    """Create a group of a customer; return its id."""
    body = json.dumps({"phones": PHONES, "groupName": "vip", "remark": "private"}).encode()
    group_id: str = envelope_of(await server.send("createGroup", body, key=owner))["groupId"]
    return group_id


def test_requests_use_every_field_that_accepts_the_id_of_a_group() -> None:
    fields = {
        (name, field.encode_name)
        for name, action in ACTIONS.items()
        for field in msgspec.structs.fields(action.request)
        if field.encode_name == "groupId"
    }
    # `test_bindings_apart` has getAXBList, and the other ids.
    lists = {(name, "groupId") for name in ("listGroup", "getAXBList")}
    assert fields == {(action, "groupId") for action, _ in REQUESTS} | lists


async def test_actions_treat_the_group_of_another_customer_as_absent(
    server: Server, other_customer: NewSecret
) -> None:
    owner = server.key
    group_id = await _group_of(server, owner)
    page = {"limit": 0, "offset": 0}
    before = await _answer(server, "listGroup", page, owner)
    for action, others in REQUESTS:
        for form in (str, str.upper, " {}".format, "{},".format, list, "{}\0".format):
            theirs = await _answer(
                server, action, {"groupId": form(group_id)} | others, other_customer
            )
            absent = await _answer(
                server, action, {"groupId": form(ABSENT)} | others, other_customer
            )
            assert theirs == absent, (action, others)
            assert b'"code":0' not in theirs[2]
    assert await _answer(server, "listGroup", page, owner) == before


async def test_list_group_finds_no_group_of_another_customer(
    server: Server, other_customer: NewSecret
) -> None:
    group_id = await _group_of(server, server.key)
    for fields in SEARCHES:
        theirs, absent = [
            await _answer(
                server, "listGroup", {"limit": 10, "groupId": named} | fields, other_customer
            )
            for named in (group_id, ABSENT)
        ]
        assert theirs == absent
        assert b'"groups":[],"total":0' in theirs[2]
    for fields in ({"groupName": "vip"}, {"phone": PHONES}):
        found = await _answer(
            server, "listGroup", {"limit": 10, "offset": 0} | fields, other_customer
        )
        assert b'"groups":[],"total":0' in found[2]
    theirs, absent = [
        await _answer(server, "listGroup", {"limit": 10, "after": named}, other_customer)
        for named in (group_id, ABSENT)
    ]
    assert theirs == absent
    assert b'"code":19001' in theirs[2]


async def test_actions_ignore_ids_in_unknown_fields(
    server: Server, other_customer: NewSecret
) -> None:
    group_id = await _group_of(server, server.key)
    page = {"limit": 0, "offset": 0}
    for fields in (
        {"customerId": "cus_1"},
        {"customer_id": "cus_1", "accessKey": server.key.access_key},
    ):
        own = await _answer(server, "listGroup", page, other_customer)
        assert await _answer(server, "listGroup", page | fields, other_customer) == own
        assert group_id.encode() not in own[2]
        assert b"cus_1" not in own[2]
    made = json.dumps({"phones": PHONES, "groupId": group_id, "customerId": "cus_1"}).encode()
    assert (
        envelope_of(await server.send("createGroup", made, key=other_customer))["groupId"]
        != group_id
    )
    ours = envelope_of(await server.send("listGroup", LIST_ALL))["data"]
    assert [(group["groupId"], group["phones"]) for group in ours["groups"]] == [(group_id, PHONES)]
    stolen = {"groupId": group_id, "customerId": "cus_1"}
    absent = {"groupId": ABSENT, "customerId": "cus_1"}
    assert await _answer(server, "deleteGroup", stolen, other_customer) == await _answer(
        server, "deleteGroup", absent, other_customer
    )


async def test_log_treats_the_group_of_another_customer_as_absent(
    server: Server, other_customer: NewSecret
) -> None:
    group_id = await _group_of(server, server.key)
    for named in (group_id, ABSENT):
        assert await server.code(
            "deleteGroup", b'{"groupId":"%s"}' % named.encode(), key=other_customer
        )
    theirs, absent = (
        {name: value for name, value in line.items() if name not in ("request_id", "duration_ms")}
        for line in server.log.lines
    )
    assert theirs == absent
    assert theirs["code"] == 19001


async def test_client_tokens_of_another_customer_are_unknown(
    server: Server, other_customer: NewSecret
) -> None:
    owner = server.key
    token = {"clientToken": "order-7"}
    create = {"phones": PHONES, "groupName": "vip"} | token
    ours = await _envelope(server, "createGroup", create, owner)
    theirs = await _envelope(server, "createGroup", create, other_customer)
    assert ours["code"] == theirs["code"] == 0
    assert ours["groupId"] != theirs["groupId"]
    for action, own in (("updateGroup", {"groupName": "mine"}), ("deleteGroup", {})):
        sent = {"groupId": ours["groupId"]} | own | token
        assert (await _envelope(server, action, sent, owner))["code"] == 0
        # Neither the owner's first response nor 19007.
        assert (await _envelope(server, action, sent, other_customer))["code"] == 19001


async def _envelope(server: Server, action: str, fields: dict[str, Any], who: NewSecret) -> Any:
    return envelope_of(await server.send(action, json.dumps(fields).encode(), key=who))
