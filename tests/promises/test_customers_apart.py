"""No hole: to each customer, another's groups are as if they were not there.

Source: docs/api/README.md; docs/errors.md, 19001.
"""

import json
import re
from typing import Any

import pytest
from tests.api.conftest import Server
from tests.helpers import LIST_ALL, envelope_of
from tests.server import conftest as parts

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.api.registry import ACTIONS

secret_box, key, log, server = parts.secret_box, parts.key, parts.log, parts.server

PHONES = "85211111114"
ABSENT = "deadbeef" * 4
CALLS = [
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
]
"""Every action on one group, with good and bad values for its other fields."""
SEARCHES = [
    {"offset": 0},
    {"offset": 0, "order": "name"},
    {"after": ""},
    {"offset": 0, "groupName": "v"},
    {"offset": 0, "phone": PHONES},
]
"""listGroup's other fields, where it looks for a group."""


async def _answer(server: Server, action: str, fields: dict[str, Any], who: NewSecret) -> Any:
    """All that an answer holds, but for its requestId."""
    reply = await server.call(action, json.dumps(fields).encode(), key=who)
    assert isinstance(reply.body, bytes)
    headers = [header for header in reply.headers if header[0] != "x-request-id"]
    return reply.status, headers, re.sub(rb'"requestId":"[0-9]+"', b"", reply.body)


@pytest.fixture
async def thief(server: Server) -> NewSecret:
    """A key of another customer, who has a group of its own."""
    store = server.services.store
    await customers.create(store, server.clock, "cus_2", "")
    made = await access_keys.create(store, server.secret_box, server.clock, "cus_2")
    assert await server.code("createGroup", b'{"phones":"85235753351"}', key=made) == 0
    return made


async def _group_of(server: Server, owner: NewSecret) -> str:
    """Make a group for a customer; return its id."""
    body = json.dumps({"phones": PHONES, "groupName": "vip", "remark": "private"}).encode()
    group_id: str = envelope_of(await server.call("createGroup", body, key=owner))["groupId"]
    return group_id


def test_every_field_that_takes_an_id_is_tried_here() -> None:
    taking = {
        (name, field)
        for name, action in ACTIONS.items()
        for field in action.request.__struct_fields__
        if field.lower().endswith(("id", "ids"))
    }
    assert taking == {(action, "groupId") for action, _ in CALLS} | {("listGroup", "groupId")}


async def test_anothers_group_is_as_if_absent_whatever_is_asked_of_it(
    server: Server, thief: NewSecret
) -> None:
    owner = server.key
    group_id = await _group_of(server, owner)
    page = {"limit": 0, "offset": 0}
    before = await _answer(server, "listGroup", page, owner)
    for action, others in CALLS:
        for form in (str, str.upper, " {}".format, "{},".format, list, "{}\0".format):
            theirs = await _answer(server, action, {"groupId": form(group_id)} | others, thief)
            absent = await _answer(server, action, {"groupId": form(ABSENT)} | others, thief)
            assert theirs == absent, (action, others)
            assert b'"code":0' not in theirs[2]
    assert await _answer(server, "listGroup", page, owner) == before


async def test_no_search_finds_anothers_group(server: Server, thief: NewSecret) -> None:
    group_id = await _group_of(server, server.key)
    for fields in SEARCHES:
        theirs, absent = [
            await _answer(server, "listGroup", {"limit": 10, "groupId": named} | fields, thief)
            for named in (group_id, ABSENT)
        ]
        assert theirs == absent
        assert b'"groups":[],"total":0' in theirs[2]
    for fields in ({"groupName": "vip"}, {"phone": PHONES}):
        found = await _answer(server, "listGroup", {"limit": 10, "offset": 0} | fields, thief)
        assert b'"groups":[],"total":0' in found[2]
    theirs, absent = [
        await _answer(server, "listGroup", {"limit": 10, "after": named}, thief)
        for named in (group_id, ABSENT)
    ]
    assert theirs == absent
    assert b'"code":19001' in theirs[2]


async def test_ids_in_fields_that_an_action_does_not_have_open_nothing(
    server: Server, thief: NewSecret
) -> None:
    group_id = await _group_of(server, server.key)
    page = {"limit": 0, "offset": 0}
    for fields in (
        {"customerId": "cus_1"},
        {"customer_id": "cus_1", "accessKey": server.key.access_key},
    ):
        own = await _answer(server, "listGroup", page, thief)
        assert await _answer(server, "listGroup", page | fields, thief) == own
        assert group_id.encode() not in own[2]
        assert b"cus_1" not in own[2]
    made = json.dumps({"phones": PHONES, "groupId": group_id, "customerId": "cus_1"}).encode()
    assert envelope_of(await server.call("createGroup", made, key=thief))["groupId"] != group_id
    ours = envelope_of(await server.call("listGroup", LIST_ALL))["data"]
    assert [(group["groupId"], group["phones"]) for group in ours["groups"]] == [(group_id, PHONES)]
    stolen = {"groupId": group_id, "customerId": "cus_1"}
    absent = {"groupId": ABSENT, "customerId": "cus_1"}
    assert await _answer(server, "deleteGroup", stolen, thief) == await _answer(
        server, "deleteGroup", absent, thief
    )


async def test_the_log_of_a_call_on_anothers_group_is_that_of_an_absent_one(
    server: Server, thief: NewSecret
) -> None:
    group_id = await _group_of(server, server.key)
    for named in (group_id, ABSENT):
        assert await server.code("deleteGroup", b'{"groupId":"%s"}' % named.encode(), key=thief)
    theirs, absent = (
        {name: value for name, value in line.items() if name not in ("request_id", "duration_ms")}
        for line in server.log.lines
    )
    assert theirs == absent
    assert theirs["code"] == 19001
