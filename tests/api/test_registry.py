"""What holds for every action of the registry: its names, its parts, and what a write owes."""

import inspect
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests import direct
from tests.api.conftest import Server
from tests.core.conftest import StatementLog
from tests.helpers import envelope_of

from openpns.accounts import access_keys
from openpns.accounts.access_keys import Revisions
from openpns.api.registry import ACTIONS
from openpns.core import audit, outbox
from openpns.core.actions import Action, encode_members
from openpns.core.commit import Effect, commit
from openpns.core.context import Context
from openpns.core.outbox import Event
from openpns.deliveries import endpoints
from openpns.groups.rows import GroupRow
from openpns.groups.service import counted, group_row
from openpns.groups.wire import CreateGroup, GroupCreated
from openpns.numbers import service as numbers
from openpns.protocol.fields import WriteBody
from openpns.storage.store import Statement, Transaction

ROOT = Path(__file__).parents[2]
CONTRACT_ROWS = [
    row
    for file in (ROOT / "contract").glob("*.json")
    if isinstance(document := json.loads(file.read_text("utf-8")), dict)
    for row in document.get("rows", [])
]
DIDS = ("85290000001", "85290000002", "85290000003")
DELIVERY_ID = "1602262837283131000"
WRITES = [name for name, action in ACTIONS.items() if action.is_write]
HAS_TOKEN = pytest.mark.parametrize("token", ["t1", None])

BODIES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "createGroup": lambda *_: {"phones": "85211111114"},
    "updateGroup": lambda group_id, _: {
        "groupId": group_id,
        "operateType": 0,
        "phones": "85211111115",
        "detail": True,
    },
    "deleteGroup": lambda group_id, _: {"groupId": group_id},
    "bindAXB": lambda *_: {"phoneA": "85233333333", "phoneB": "85244444444", "expireSecond": 0},
    "bindAXBExtension": lambda *_: {
        "phoneA": "85233333333",
        "phoneX": DIDS[0],
        "extension": "123",
        "expireSecond": 0,
    },
    "bindAXG": lambda group_id, _: {
        "phoneA": "85233333333",
        "groupId": group_id,
        "expireSecond": 0,
    },
    "unbindAXB": lambda _, bind_id: {"bindId": bind_id},
    "updateBinding": lambda _, bind_id: {"bindId": bind_id, "expireSecond": 60},
    "reportCall": lambda _, bind_id: {
        "callId": "1",
        "startAt": 1_670_479_632,
        "hangupAt": 1_670_479_633,
        "caller": "85255555555",
        "did": DIDS[0],
        "bindId": bind_id,
    },
    "resendDelivery": lambda *_: {"id": DELIVERY_ID},
}
"""For each action that writes, a body with an effect, given the id of a group of one phone and of a
binding."""

WITHOUT_REVISION = {"reportCall", "resendDelivery"}
"""Writes of what no cached response shows."""

ONCE = {"reportCall"}
"""Actions that recognise a repetition by themselves: it gets the first result, changes nothing."""


def rule_of(action: Action) -> tuple[Callable[..., Awaitable[Any]], set[str]]:
    """Return the rule's function, and the keyword parameters that the registry has set."""
    if isinstance(action.rule, partial):
        return action.rule.func, set(action.rule.keywords)
    return action.rule, set()


def check_names(name: str, action: Action) -> None:
    """Check that one name leads from the wire to the rule, the docs and the contract."""
    rule, bound = rule_of(action)
    feature = rule.__module__.rpartition(".")[0]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    assert rule.__name__ == words.lower()
    assert action.request is getattr(import_module(f"{feature}.wire"), name[0].upper() + name[1:])
    assert issubclass(action.request, WriteBody) == action.is_write
    parameters = inspect.signature(rule).parameters.values()
    keywords = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    fields = {*action.request.__struct_fields__}
    assert ("client_token" in fields) == action.is_write
    assert keywords - bound == fields - {"client_token"}
    assert (ROOT / "docs" / "api" / f"{name}.md").exists()
    assert any(["action", name] in row["headers"] for row in CONTRACT_ROWS)
    assert not (action.is_write and action.depends_on)
    assert action.depends_on is None or action.depends_on in Revisions.__struct_fields__


@pytest.mark.parametrize("name", ACTIONS)
def test_action_has_one_name_from_the_wire_to_the_contract(name: str) -> None:
    check_names(name, ACTIONS[name])


class Sender:
    """Sends an action through the pipeline, and looks at what it did."""

    def __init__(self, server: Server, query: direct.Query) -> None:
        self._server = server
        self._query = query
        self.statements = StatementLog(server.services.store)
        server.make_api(replace(server.services, store=self.statements))

    async def body(self, name: str) -> dict[str, Any]:
        """Return a body with an effect of an action that writes."""
        created = await self.send("createGroup", {"phones": "85211111114"})
        pair = {"phoneA": "85255555555", "phoneB": "85266666666", "expireSecond": 0}
        bound = await self.send("bindAXB", pair)
        return BODIES[name](created["groupId"], bound["data"]["bindId"])

    async def send(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the envelope of a request with a ts of its own, without its requestId."""
        return (await self.send_identical(name, body, times=1))[0]

    async def send_identical(
        self, name: str, body: dict[str, Any], times: int
    ) -> list[dict[str, Any]]:
        """Send the same bytes several times; return the envelopes without their requestIds."""
        self._server.clock.now_ms += 1
        sent = json.dumps(body).encode()
        headers = self._server.headers(name, sent)
        envelopes = [
            envelope_of(await self._server.send(name, sent, headers=headers)) for _ in range(times)
        ]
        assert len({envelope.pop("requestId") for envelope in envelopes}) == times
        return envelopes

    async def require_unique_ts(self) -> None:
        """Set the key to unique-ts."""
        store = self._server.services.store
        await access_keys.require_unique_ts(store, self._server.key.access_key, 1)

    async def revisions(self) -> list[tuple[Any, ...]]:
        columns = ", ".join(f"{scope}_revision" for scope in Revisions.__struct_fields__)
        return await self._query(f"SELECT {columns} FROM customer_state")

    async def entries(self, name: str) -> int:
        rows = await self._query("SELECT action FROM audit_entry WHERE operator IS NULL")
        return sum(action.partition(".")[0] == name for (action,) in rows)

    async def records(self) -> int:
        return len(await self._query("SELECT 1 FROM idempotency_record"))


async def check_write(sender: Sender, name: str, token: str | None) -> None:
    """Send a write twice; check that it owes nothing, and was carried out as often as it must."""
    body = await sender.body(name) | ({"clientToken": token} if token else {})
    entries, revisions = await sender.entries(name), [await sender.revisions()]
    first = await sender.send(name, body)
    revisions.append(await sender.revisions())
    assert first["code"] == 0
    assert await sender.entries(name) == entries + 1
    names = sender.statements.committed[-1]
    changes = [n for n in names if n.endswith("_revision_change")]
    is_revised = name not in WITHOUT_REVISION
    assert len(changes) == is_revised
    assert names.count("audit_add") == 1
    assert names.count("idempotency_record_add") == await sender.records() == bool(token)
    assert (revisions[0] != revisions[1]) == is_revised
    second = await sender.send(name, body)
    revisions.append(await sender.revisions())
    if token or name in ONCE:
        assert second == first
        assert await sender.entries(name) == entries + 1
        assert revisions[1] == revisions[2]
    elif second["code"] == 0:
        assert await sender.entries(name) == entries + 2
        assert (revisions[1] != revisions[2]) == is_revised
    else:
        assert second["code"] >= 10001
        assert await sender.entries(name) == entries + 1
        assert revisions[1] == revisions[2]


@pytest.fixture
async def sender(server: Server, database_url: str) -> Sender:
    store, customer_id = server.services.store, server.key.customer_id
    await numbers.add(store, server.clock, customer_id, DIDS)
    await endpoints.set_webhook(
        store, server.secret_box, server.clock, customer_id, "https://example.com/"
    )

    def add_delivery() -> Transaction[None]:
        yield outbox.add(customer_id, Event(DELIVERY_ID, "callRecord", b"{}"), server.clock())

    await store.write(add_delivery)
    return Sender(server, partial(direct.query, database_url))


def test_every_write_has_a_body_in_this_test() -> None:
    assert set(BODIES) == set(WRITES)


@HAS_TOKEN
@pytest.mark.parametrize("name", WRITES)
async def test_write_sent_twice_has_one_effect_with_a_token_and_two_without(
    sender: Sender, name: str, token: str | None
) -> None:
    await check_write(sender, name, token)


@pytest.mark.parametrize("name", WRITES)
async def test_byte_identical_write_is_carried_out_each_time(sender: Sender, name: str) -> None:
    body = await sender.body(name)
    entries = await sender.entries(name)
    responses = await sender.send_identical(name, body, 2)
    carried_out = sum(envelope["code"] == 0 for envelope in responses)
    assert carried_out > 0
    carried_out = 1 if name in ONCE else carried_out
    assert await sender.entries(name) == entries + carried_out
    assert await sender.records() == 0


@pytest.mark.parametrize("name", WRITES)
async def test_byte_identical_write_of_a_unique_ts_key_gets_the_first_response(
    sender: Sender, name: str
) -> None:
    body = await sender.body(name)
    await sender.require_unique_ts()
    entries = await sender.entries(name)
    first, second = await sender.send_identical(name, body, 2)
    assert second == first
    assert first["code"] == 0
    assert await sender.entries(name) == entries + 1
    assert await sender.records() == 1


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("token", ["t" * 65, "a\n", 5])
async def test_wrong_client_token_is_refused_and_changes_nothing(
    sender: Sender, name: str, token: object
) -> None:
    body = await sender.body(name)
    revisions = await sender.revisions()
    refused = await sender.send(name, body | {"clientToken": token})
    assert refused == {
        "code": 1002,
        "msg": "Parameter error: clientToken must be text of at most 64 characters without control "
        "characters",
    }
    assert await sender.revisions() == revisions
    assert (await sender.send(name, body | {"clientToken": "t" * 64}))["code"] == 0


@pytest.mark.parametrize("name", [name for name in WRITES if name not in WITHOUT_REVISION])
async def test_write_refreshes_cached_responses(sender: Sender, name: str) -> None:
    body = await sender.body(name)
    page = {"limit": 10, "offset": 0}

    async def read() -> list[dict[str, Any]]:
        return [await sender.send(action, page) for action in ("listGroup", "getAXBList")]

    before = await read()
    assert await read() == before
    assert (await sender.send(name, body))["code"] == 0
    assert await read() != before


def _steps(context: Context, created: GroupCreated) -> Transaction[Effect[GroupCreated]]:
    seq = (yield Statement("group_order_lock", {"customer_id": context.customer_id}))[0][0]
    group = GroupRow(0, created.group_id, "", "", ["85211111114"])
    yield Statement("group_create", group_row(context.customer_id, group, seq, 7))
    return Effect(created, created.group_id, {}, counts=counted(groups=1, seqs=1))


async def _without_commit(context: Context, **_: Any) -> GroupCreated:
    created = GroupCreated(context.services.ids.group_id())
    await context.store.write(lambda: _steps(context, created))
    return created


async def _with_entry_only(context: Context, **_: Any) -> GroupCreated:
    created = GroupCreated(context.services.ids.group_id())

    def steps() -> Transaction[None]:
        yield from _steps(context, created)
        yield audit.entry(context, 7, "createGroup", created.group_id, {})

    await context.store.write(steps)
    return created


async def _right(context: Context, *, payload_id: str = "", **_: Any) -> GroupCreated:
    created = GroupCreated(context.services.ids.group_id())
    return await commit(
        context,
        "createGroup",
        lambda: _steps(context, created),
        scope="groups",
        payload={"phones": payload_id},
        result=GroupCreated,
    )


async def _with_a_payload_that_differs(context: Context, **_: Any) -> GroupCreated:
    return await _right(context, payload_id=context.services.ids.group_id())


async def _without_the_key(context: Context, **_: Any) -> GroupCreated:
    request = structs.replace(context.request, client_token="")
    return await _right(structs.replace(context, request=request))


@HAS_TOKEN
async def test_check_of_writes_passes_for_a_right_rule(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    right = Action(CreateGroup, _right, encode_members, is_write=True)
    monkeypatch.setitem(ACTIONS, "createGroup", right)
    await check_write(sender, "createGroup", token)


@pytest.mark.parametrize(
    "rule", [_without_commit, _with_entry_only, _with_a_payload_that_differs, _without_the_key]
)
async def test_check_of_writes_fails_for_a_wrong_rule(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, rule: Callable[..., Awaitable[Any]]
) -> None:
    wrong = Action(CreateGroup, rule, encode_members, is_write=True)
    monkeypatch.setitem(ACTIONS, "createGroup", wrong)
    with pytest.raises(AssertionError):
        await check_write(sender, "createGroup", "t1")
    with pytest.raises(AssertionError):
        check_names("createGroup", wrong)
