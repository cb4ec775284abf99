import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests import direct
from tests.audit_trail import entries, is_operators, of_requests, refuse_entries
from tests.conftest import START_MS, FakeClock
from tests.groups.actions import Groups, joined, phone

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import _commit_rotation
from openpns.accounts.secret_box import SecretBox
from openpns.api.registry import SECRETS
from openpns.core import audit
from openpns.core.context import Services
from openpns.core.principal import Principal
from openpns.errors import ConfigError, GroupFull, GroupNotFound, ParameterError, WireError
from openpns.groups import service, transfer
from openpns.groups.wire import ADD
from openpns.phones import mask_phone
from openpns.storage.store import Store

UNKNOWN = "0123456789abcdef" * 2


def _masked(number: int) -> str:
    return mask_phone(phone(number))


@pytest.fixture
def request_groups(mine: Groups, clock: FakeClock) -> Callable[[], Groups]:
    """Return groups for one more request, with its own request id and time."""
    numbers = itertools.count(2124757319171108864)

    def request() -> Groups:
        clock.now_ms += 1
        return mine.sent(request_id=str(next(numbers)))

    return request


async def test_write_adds_an_entry_with_actor_time_and_counts(
    store: Store, request_groups: Callable[[], Groups], clock: FakeClock
) -> None:
    group = await request_groups().create([1, 2, 3, 4])
    await request_groups().add(group, 4, 5)
    await request_groups().delete(group, 9, 2, 1)
    await request_groups().replace(group, 7)
    await request_groups().drop(group)
    found = await of_requests(store)
    assert [(entry.action, entry.details) for entry in found] == [
        ("createGroup", {"added": 4, "phones": ["85200****01", "85200****02", "85200****03"]}),
        ("updateGroup.add", {"added": 1, "phones": ["85200****04", "85200****05"]}),
        ("updateGroup.delete", {"removed": 2, "phones": [_masked(9), _masked(2), _masked(1)]}),
        ("updateGroup.replace", {"added": 1, "removed": 3, "phones": ["85200****07"]}),
        ("deleteGroup", {"removed": 1}),
    ]
    assert {(e.customer_id, e.actor, e.access_key, e.subject) for e in found} == {
        ("cus_1", "sixgqophrnv4", "sixgqophrnv4", group)
    }
    assert [entry.at_ms for entry in found] == [*range(START_MS + 1, START_MS + 6)]
    assert [entry.request_id for entry in found] == [
        str(2124757319171108864 + place) for place in range(5)
    ]


async def test_write_without_effect_adds_an_entry_without_counts(
    store: Store, request_groups: Callable[[], Groups]
) -> None:
    group = await request_groups().create([1])
    await request_groups().add(group, 1)
    await request_groups().delete(group, 2)
    assert [(e.action, e.details) for e in (await of_requests(store))[1:]] == [
        ("updateGroup.add", {"phones": [_masked(1)]}),
        ("updateGroup.delete", {"phones": [_masked(2)]}),
    ]


async def test_accepted_write_that_changes_nothing_adds_an_entry(
    store: Store, request_groups: Callable[[], Groups]
) -> None:
    group = await request_groups().create([1], "A")
    await request_groups().add(group, 1)
    await request_groups().delete(group, 2)
    await request_groups().replace(group, 1)
    await request_groups().change(group, group_name="A")
    found = (await of_requests(store))[1:]
    assert [entry.action.partition(".")[2] for entry in found] == [
        "add", "delete", "replace", "rename",
    ]  # fmt: skip
    assert not any(entry.details.get("added") or entry.details.get("removed") for entry in found)


async def test_rename_adds_an_entry_without_names_and_dry_run_adds_none(
    store: Store, mine: Groups
) -> None:
    group = await mine.create([1])
    name: dict[str, Any] = {"group_name": "a name", "remark": "a remark"}
    for fields in (
        name,
        name | {"dry_run": True},
        {"operate_type": ADD, "phones": phone(2), "dry_run": True},
        {"operate_type": ADD, "phones": phone(2), "detail": True} | name,
    ):
        await mine.change(group, **fields)
    found = await of_requests(store)
    assert sorted((entry.action, str(entry.details)) for entry in found) == [
        ("createGroup", f"{{'added': 1, 'phones': ['{_masked(1)}']}}"),
        ("updateGroup.add", f"{{'added': 1, 'renamed': True, 'phones': ['{_masked(2)}']}}"),
        ("updateGroup.rename", "{'renamed': True}"),
    ]


@pytest.mark.parametrize("has_token", [False, True])
async def test_refused_write_adds_no_entry(store: Store, mine: Groups, *, has_token: bool) -> None:
    group = await mine.create([1])
    refused: list[tuple[type[WireError], Callable[[Groups], Awaitable[object]]]] = [
        (GroupFull, lambda groups: groups.create([1, 2])),
        (GroupFull, lambda groups: groups.add(group, 2)),
        (GroupFull, lambda groups: groups.replace(group, 1, 2)),
        (GroupNotFound, lambda groups: groups.add(UNKNOWN, 1)),
        (GroupNotFound, lambda groups: groups.drop(UNKNOWN)),
        (ParameterError, lambda groups: service.create_group(groups.context, phones="12")),
    ]
    for number, (error, write) in enumerate(refused):
        token = f"t{number}" if has_token else None
        with pytest.raises(error):
            await write(mine.bounded(phones_in_group_max=1).sent(client_token=token))
    assert len(await of_requests(store)) == 1


async def test_repeated_write_with_an_idempotency_key_adds_no_second_entry(
    store: Store, mine: Groups
) -> None:
    for number in (1, 2):
        await mine.sent(client_token="t1", request_id=str(number)).create([1])
    (entry,) = await of_requests(store)
    assert entry.request_id == "1"


@pytest.mark.parametrize("action", ["create", "add", "delete", "replace", "drop"])
async def test_write_and_its_entry_are_committed_together_or_not_at_all(
    store: Store, mine: Groups, action: str, database_url: str
) -> None:
    group = await mine.create([1, 2])
    before = await mine.page()
    first = phone(1)
    # The entry comes last; what refuses it must undo what was written before.
    await direct.run(database_url, refuse_entries(database_url))
    arguments = {"create": ([3],), "delete": (group, 1), "drop": (group,)}
    with pytest.raises(WireError):
        await getattr(mine, action)(*arguments.get(action, (group, 5)))
    assert await mine.page() == before
    assert first in await mine.phones(group)
    assert len(await of_requests(store)) == 1


async def test_creates_in_one_transaction_add_an_entry_each(store: Store, mine: Groups) -> None:
    ids = await asyncio.gather(*(mine.create([number]) for number in range(40)))
    assert {entry.subject for entry in await of_requests(store)} == set(ids)
    assert len(await of_requests(store)) == 40


async def test_entry_is_small_and_holds_no_name_and_no_whole_phone(
    store: Store, mine: Groups, database_url: str
) -> None:
    await mine.create(range(5000), "a name", "a remark")
    (entry,) = await of_requests(store)
    assert entry.details["added"] == 5000
    assert len(entry.details["phones"]) == service.AUDITED_PHONES_MAX
    (row,) = await direct.query(
        database_url, "SELECT * FROM audit_entry WHERE action = 'createGroup'"
    )
    text = "|".join(map(str, row))
    assert len(text) < 300
    assert not [held for held in (phone(0), "a name", "a remark") if held in text]


async def test_operator_commands_add_entries(
    store: Store, services: Services, secret_box: SecretBox, clock: FakeClock
) -> None:
    await customers.create(store, clock, "cus_1", "A Name")
    await customers.disable(store, "cus_1", clock())
    await customers.disable(store, "cus_1", None)
    secret = "a-secret-to-keep"
    await access_keys.create(
        store, secret_box, clock, "cus_1", access_key="key-1", access_secret=secret, label="A Name"
    )
    await access_keys.disable(store, "key-1", clock())
    await access_keys.disable(store, "key-1", None)
    await access_keys.require_sha256(store, "key-1", clock())
    await access_keys.require_sha256(store, "key-1", None)
    await access_keys.require_unique_ts(store, "key-1", clock())
    await access_keys.require_unique_ts(store, "key-1", None)
    await access_keys.set_rate(store, "key-1", 5, 9)
    await access_keys.require_hmac(store, "key-1", clock())
    await access_keys.require_hmac(store, "key-1", None)
    await access_keys.set_actions(store, "key-1", ["getLimits", "listGroup"])
    await access_keys.set_addresses(store, "key-1", ["192.0.2.0/24", "2001:db8::1"])
    await access_keys.expire(store, clock, "key-1", START_MS + 1)
    rotated = await access_keys.rotate(store, secret_box, clock, "key-1", 60_000)
    await _commit_rotation(store, secret_box, SECRETS)
    before = await access_keys.find(store, "key-1")
    assert before is not None
    rotated_again = await access_keys.rotate(store, secret_box, clock, "key-1", 60_000)
    await access_keys.rotate_back(store, "key-1", before)
    found = await entries(store)
    assert {(e.action, str(e.details)) for e in found} == {
        ("customers.create", "{}"),
        ("customers.disable", "{}"),
        ("customers.enable", "{}"),
        (
            "keys.create",
            "{'expiresMs': None, 'sha256OnlySinceMs': None, 'ratePerS': None, "  # noqa: ISC004
            "'rateBurst': None, 'readOnlyMs': None, 'uniqueTsSinceMs': None, "
            "'hmacOnlySinceMs': None, 'allowedAddresses': None, 'allowedActions': None}",
        ),
        ("keys.disable", "{}"),
        ("keys.enable", "{}"),
        ("keys.requireSha256", "{}"),
        ("keys.allowMd5", "{}"),
        ("keys.requireUniqueTs", "{}"),
        ("keys.allowRepeatedTs", "{}"),
        ("keys.setRate", "{'ratePerS': 5, 'rateBurst': 9}"),
        ("keys.requireHmac", "{}"),
        ("keys.allowDigests", "{}"),
        ("keys.setActions", "{'allowedActions': 'getLimits,listGroup'}"),
        ("keys.setAddresses", "{'allowedAddresses': '192.0.2.0/24,2001:db8::1'}"),
        ("keys.expire", f"{{'expiresMs': {START_MS + 1}}}"),
        ("keys.rotate", f"{{'previousUntilMs': {START_MS + 60_000}}}"),
        ("keys.rotateBack", f"{{'previousUntilMs': {START_MS + 60_000}}}"),
        ("masterKey.rotate", "{'accessKeys': 1, 'webhooks': 0}"),
    }
    assert len(found) == 20
    for entry in found:
        assert is_operators(entry)
        assert "@" in entry.actor
        assert entry.request_id is None
        assert entry.access_key == ("key-1" if entry.action.startswith("keys.") else None)
        assert entry.customer_id == (None if entry.action == "masterKey.rotate" else "cus_1")
    secrets = (secret, rotated.access_secret, rotated_again.access_secret)
    assert not [s for s in (*secrets, "A Name") if s in str(found)]


async def test_refused_operator_command_adds_no_entry(
    store: Store, secret_box: SecretBox, clock: FakeClock
) -> None:
    await customers.create(store, clock, "cus_1", "")
    await access_keys.create(store, secret_box, clock, "cus_1", access_key="key-1")
    refused: list[Callable[[], Awaitable[object]]] = [
        lambda: customers.create(store, clock, "cus_1", ""),
        lambda: customers.disable(store, "cus_9", None),
        lambda: access_keys.create(store, secret_box, clock, "cus_1", access_key="key-1"),
        lambda: access_keys.disable(store, "key-9", None),
        lambda: access_keys.rotate(store, secret_box, clock, "key-9", 0),
    ]
    for act in refused:
        with pytest.raises(ConfigError):
            await act()
    assert len(await entries(store)) == 2


async def test_import_adds_an_entry_for_each_batch(
    store: Store, services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH_GROUPS", 2)
    rows = [(line, {"phones": joined([line, line + 1])}) for line in range(3)]
    for dry_run in (True, False):
        await transfer.import_rows(
            services,
            "cus_1",
            rows,
            on_bad=lambda row: pytest.fail(row.why),
            on_batch=lambda: None,
            dry_run=dry_run,
        )
    imports = await entries(store, action="groups.import")
    assert sorted(str(entry.details) for entry in imports) == [
        "{'groups': 1, 'added': 2}",
        "{'groups': 2, 'added': 4}",
    ]


async def test_find_applies_each_filter_and_returns_newest_first(
    store: Store, mine: Groups, theirs: Groups, clock: FakeClock
) -> None:
    first = await mine.create([1])
    clock.now_ms += 10
    other = await theirs.create([1])
    clock.now_ms += 10
    await mine.drop(first)
    at = [START_MS, START_MS + 10, START_MS + 20]

    async def times(**wanted: Any) -> list[int]:
        found = await entries(store, until_ms=START_MS + 1000, **wanted)
        return [entry.at_ms for entry in found]

    assert await times() == at[::-1]
    assert await times(at_most=2) == [at[2], at[1]]
    assert await times(customer_id="cus_1") == [at[2], at[0]]
    assert await times(customer_id="cus_2") == [at[1]]
    assert await times(customer_id="cus_9") == []
    assert await times(access_key="stranger-key") == [at[1]]
    assert await times(action="deleteGroup") == [at[2]]
    assert await times(subject=first) == [at[2], at[0]]
    assert await times(subject=other) == [at[1]]
    assert await times(since_ms=at[1]) == [at[2], at[1]]
    found = await entries(store, until_ms=at[2])
    assert [entry.at_ms for entry in found] == [at[1], at[0]]


async def test_operator_without_a_user_name_is_recorded_by_uid(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    audit._operator.cache_clear()
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    monkeypatch.setattr("socket.gethostname", lambda: "node1")
    await audit.record(store, "database.restore", {"file": "a.db"})
    audit._operator.cache_clear()
    (entry,) = await entries(store)
    assert entry.actor == "operator:4711@node1"
