"""The commit path: one transaction with all that a write owes, and one effect for each token."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from tests import direct
from tests.conftest import FakeClock
from tests.core.conftest import Records, Sign, StatementLog
from tests.groups.actions import Groups, joined, phone

from openpns import limits
from openpns.core import idempotency
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.core.context import Services
from openpns.errors import ClientTokenReused, GroupFull, GroupNotFound, ParameterError
from openpns.groups import service
from openpns.groups.wire import ADD
from openpns.storage.store import Statement, Store, Transaction

pytestmark = pytest.mark.usefixtures("sound_tables")

UNKNOWN = "0123456789abcdef" * 2
REVISION = "SELECT groups_revision FROM customer_state WHERE customer_id = 'cus_1'"


async def create(request: Groups, number: int = 1, name: str | None = "a") -> str:
    return await request.create([number], name)


@pytest.mark.parametrize("token", [None, "t1"])
async def test_commit_adds_one_revision_and_ends_with_entry_and_record(
    sign: Sign, services: Services, token: str | None
) -> None:
    statements = StatementLog(services.store)
    request = sign("s1", token)
    logged = replace(request.context.services, store=statements)
    groups = Groups(structs.replace(request.context, services=logged))
    group_id = await groups.create([1])
    await groups.add(group_id, 2)
    await groups.drop(group_id)
    end = ["audit_add"] if token is None else ["audit_add", "idempotency_record_add"]
    assert len(statements.committed) == 3
    for names in statements.committed:
        assert names[-len(end) :] == end
        assert names.count("groups_revision_change") == 1
        assert not {*names[: -len(end)]} & {"audit_add", "idempotency_record_add"}


async def test_commit_changes_the_revision_with_each_effect_only(
    sign: Sign, mine: Groups, theirs: Groups, query: direct.Query
) -> None:
    revisions = [await query(REVISION)]

    async def note() -> None:
        revisions.append(await query(REVISION))

    group_id = await create(sign("s1", "t1"))
    await note()
    await sign("s2", "t2").add(group_id, 2)
    await note()
    await sign("s3", "t3").drop(group_id)
    await note()
    assert len({*map(str, revisions)}) == 4
    await create(sign("s4", "t1"))  # copies, a refusal, a dry run and another customer's write
    await sign("s5", "t2").add(group_id, 2)
    await sign("s6", "t3").drop(group_id)
    with pytest.raises(GroupNotFound):
        await sign("s7").drop(group_id)
    with pytest.raises(GroupNotFound):
        await sign("s8").change(group_id, group_name="a", dry_run=True)
    await theirs.create([1])
    assert await query(REVISION) == revisions[-1]


async def test_commit_as_operator_without_a_change_adds_no_entry_and_no_revision(
    store: Store, mine: Groups, query: direct.Query
) -> None:
    async def act(*, is_change: bool, scope: str | None) -> list[str]:
        statements = StatementLog(store)

        def steps() -> Transaction[OperatorEffect[int]]:
            yield Statement("group_order_lock", {"customer_id": "cus_1"})
            return OperatorEffect(7, "cus_1", is_change=is_change, counts=service.counted())

        assert await commit_as_operator(statements, "test.act", steps, scope=scope) == 7
        return statements.committed[0][1:]

    before = await query(REVISION)
    assert await act(is_change=False, scope="groups") == []
    assert await act(is_change=True, scope=None) == ["audit_add"]
    assert await query(REVISION) == before
    assert await act(is_change=True, scope="groups") == ["groups_revision_change", "audit_add"]
    assert await query(REVISION) != before


async def test_each_write_with_the_same_token_gets_the_first_response_and_changes_nothing(
    sign: Sign, mine: Groups
) -> None:
    group_id = await create(sign("s1", "t1"))
    other_id = await create(sign("s2", "t2"))
    assert await create(sign("s3", "t1")) == group_id != other_id
    added = {"operate_type": ADD, "phones": phone(2), "detail": True}
    assert await sign("s4", "t1").change(group_id, **added) == (1, 0, 0, 2)
    await sign("s5", "t2").delete(group_id, 1)
    assert await sign("s6", "t1").change(group_id, **added) == (1, 0, 0, 2)
    await sign("s7").delete(group_id, 2)
    assert await sign("s8", "t1").change(group_id, **added) == (1, 0, 0, 2)
    assert await mine.phones(group_id) == ""
    await sign("s9", "t3").replace(group_id, 3)
    await sign("s10").add(group_id, 1)
    await sign("s11", "t2").delete(group_id, 1)
    await sign("s12", "t3").replace(group_id, 3)
    assert await mine.phones(group_id) == joined([3, 1])
    await sign("s13", "t4").change(group_id, group_name="first")
    await sign("s14").change(group_id, group_name="second")
    await sign("s15", "t4").change(group_id, group_name="first")
    assert [row[1] for row in (await mine.page())[1]] == ["second", "a"]
    for number in range(2):
        await sign(f"s{16 + number}", "t1").drop(group_id)  # the first response, not 19001
    assert await mine.ids() == [other_id]


async def test_token_belongs_to_one_action(sign: Sign, mine: Groups, records: Records) -> None:
    group_id = await create(sign("s1", "t1"))
    await sign("s2", "t1").add(group_id, 2)
    await sign("s3", "t1").drop(group_id)
    assert await mine.ids() == []
    assert await records() == [
        "token:createGroup:t1", "token:deleteGroup:t1", "token:updateGroup:t1",
    ]  # fmt: skip


async def test_token_is_known_for_24_hours_whatever_the_signature(
    sign: Sign, mine: Groups, clock: FakeClock, services: Services
) -> None:
    group_id = await create(sign("s1", "t1"))
    clock.now_ms += limits.CLIENT_TOKEN_MS - 1
    await idempotency.clean(services)
    assert await create(sign("s2", "t1")) == group_id
    clock.now_ms += 1
    new_id = await create(sign("s3", "t1"))
    assert await mine.ids() == [group_id, new_id]
    assert await create(sign("s4", "t1")) == new_id


async def test_token_with_another_body_raises_client_token_reused(sign: Sign, mine: Groups) -> None:
    group_id = await create(sign("s1", "t1"))
    for number, name in ((2, "a"), (1, "b"), (1, None)):
        for _ in range(2):
            with pytest.raises(
                ClientTokenReused, match="another createGroup was sent with this clientToken"
            ):
                await create(sign(f"{number}{name}", "t1"), number, name)
    assert await create(sign("s2", "t1")) == group_id
    assert await mine.ids() == [group_id]


@pytest.mark.parametrize(
    "other",
    [
        {"operate_type": 1},
        {"phones": phone(3)},
        {"phones": f"{phone(2)},{phone(3)}"},
        {"group_name": "b"},
        {"group_name": ""},
        {"remark": ""},
        {"detail": True},
        {"group_id": UNKNOWN},
    ],
    ids=str,
)
async def test_update_token_with_any_other_field_raises_client_token_reused(
    sign: Sign, mine: Groups, other: dict[str, Any]
) -> None:
    group_id = await create(sign("s1"))
    sent: dict[str, Any] = {"group_id": group_id, "operate_type": ADD, "phones": phone(2)}
    await sign("s2", "t1").change(**sent)
    with pytest.raises(ClientTokenReused, match="another updateGroup was sent with"):
        await sign("s3", "t1").change(**(sent | other))
    assert await mine.page() == (1, [("cus_1", "a", group_id, joined([1, 2]), "")])


async def test_delete_token_with_another_group_raises_client_token_reused(
    sign: Sign, mine: Groups
) -> None:
    ids = [await create(sign("s1")), await create(sign("s2"))]
    await sign("s3", "t1").drop(ids[0])
    with pytest.raises(ClientTokenReused, match="another deleteGroup was sent with"):
        await sign("s4", "t1").drop(ids[1])
    assert await mine.ids() == ids[1:]


async def test_create_token_compares_normalised_fields(sign: Sign, mine: Groups) -> None:
    first = await service.create_group(sign("s1", "t1").context, phones=f"{phone(1)},{phone(2)}")
    spaced = f" +{phone(1)} ,{phone(2)},{phone(1)}"
    for phones, name, remark in ((spaced, "", ""), (spaced, None, ""), (spaced, "", None)):
        again = await service.create_group(
            sign("s2", "t1").context, phones=phones, group_name=name, remark=remark
        )
        assert again == first
    assert await mine.ids() == [first.group_id]
    swapped = f"{phone(2)},{phone(1)}"  # the order of phones counts: listGroup shows it
    with pytest.raises(ClientTokenReused):
        await service.create_group(sign("s3", "t1").context, phones=swapped)


async def test_update_token_compares_normalised_fields(sign: Sign, mine: Groups) -> None:
    group_id = await create(sign("s1"))
    sent: dict[str, Any] = {"group_id": group_id, "operate_type": ADD}
    await sign("s2", "t1").change(**sent, phones=phone(2))
    await sign("s3").delete(group_id, 2)
    await sign("s4", "t1").change(**sent, phones=f" +{phone(2)}", detail=False)
    assert await mine.phones(group_id) == phone(1)


async def test_refusals_are_recorded_under_a_token(
    sign: Sign, mine: Groups, records: Records
) -> None:
    group_id = await sign("s1").create([1, 2, 3, 4, 5])
    with pytest.raises(GroupFull) as first:
        await sign("s2", "t1").add(group_id, 6)
    await sign("s3").delete(group_id, 1)
    with pytest.raises(GroupFull) as second:
        await sign("s4", "t1").add(group_id, 6)
    assert second.value.msg == first.value.msg
    with pytest.raises(ClientTokenReused):
        await sign("s5", "t1").add(group_id, 7)
    assert await mine.phones(group_id) == joined([2, 3, 4, 5])
    for _ in range(2):
        with pytest.raises(GroupNotFound):
            await sign("s6", "t2").drop(UNKNOWN)
    assert await records() == ["token:deleteGroup:t2", "token:updateGroup:t1"]


async def test_create_that_is_too_large_is_recorded_under_a_token(
    sign: Sign, mine: Groups, records: Records
) -> None:
    for signature in ("s1", "s2"):
        with pytest.raises(GroupFull):
            await sign(signature, "t1").create(range(6))
    with pytest.raises(ClientTokenReused):
        await create(sign("s3", "t1"))
    assert await mine.ids() == []
    assert await records() == ["token:createGroup:t1"]


async def test_refusals_for_the_fields_alone_are_not_recorded(
    sign: Sign, sign_unique: Sign, records: Records
) -> None:
    for request in (sign("s1", "t1"), sign_unique("s1", "t1")):
        for error, write in (
            (GroupNotFound, request.drop("no id")),
            (ParameterError, create(request, -5)),
            (ParameterError, request.change(UNKNOWN, phones=phone(1))),
        ):
            with pytest.raises(error):
                await write
    assert await records() == []
    assert await create(sign("s2", "t1"))


async def test_dry_runs_are_neither_recorded_nor_answered_from_a_record(
    sign: Sign, sign_unique: Sign, mine: Groups, records: Records
) -> None:
    group_id = await create(sign("s1"))
    sent: dict[str, Any] = {"group_id": group_id, "operate_type": ADD, "phones": phone(2)}
    for request in (sign("s2", "t1"), sign_unique("s2", "t1")):
        assert await request.change(**sent, dry_run=True) == (1, 0, 0, 2)
        with pytest.raises(GroupNotFound):
            await request.change(UNKNOWN, group_name="a", dry_run=True)
    assert await records() == []
    changing = sign_unique("s3", "t1")
    assert await changing.change(**sent, detail=True) == (1, 0, 0, 2)
    assert await changing.change(**sent, detail=True, dry_run=True) == (0, 0, 1, 2)
    assert await changing.change(**(sent | {"phones": phone(3)}), dry_run=True) == (1, 0, 0, 3)
    assert await mine.phones(group_id) == joined([1, 2])
    assert await records() == ["signature:s3", "token:updateGroup:t1"]


async def test_copies_at_once_with_one_token_are_one_write(sign: Sign, mine: Groups) -> None:
    ids = await asyncio.gather(*(create(sign(f"s{n}", "t1")) for n in range(20)))
    assert await mine.ids() == [ids[0]]
    assert {*ids} == {ids[0]}
    added: dict[str, Any] = {"operate_type": ADD, "phones": phone(2), "detail": True}
    changes = await asyncio.gather(
        *(sign(f"s{n}", "t1").change(ids[0], **added) for n in range(20))
    )
    assert {*changes} == {(1, 0, 0, 2)}
    await asyncio.gather(*(sign(f"s{n}", "t1").drop(ids[0]) for n in range(20)))
    assert await mine.ids() == []


async def test_bodies_at_once_with_one_token_are_one_write(sign: Sign, mine: Groups) -> None:
    results = await asyncio.gather(
        *(create(sign(f"s{n}", "t1"), n % 4) for n in range(20)), return_exceptions=True
    )
    (group_id,) = await mine.ids()
    assert results.count(group_id) == 5
    assert sum(isinstance(result, ClientTokenReused) for result in results) == 15


async def test_large_copies_at_once_with_one_token_are_one_write(sign: Sign, mine: Groups) -> None:
    requests = [sign(f"s{n}", "t1").bounded(phones_in_group_max=500) for n in range(8)]
    ids = await asyncio.gather(*(request.create(range(300)) for request in requests))
    assert {*ids} == {*await mine.ids()}
    assert len({*ids}) == 1


async def test_copies_at_once_of_a_refused_write_get_one_response(sign: Sign, mine: Groups) -> None:
    group_id = await sign("s1").create([1, 2, 3, 4, 5])
    results = await asyncio.gather(
        *(sign(f"a{n}", "t1").add(group_id, 6) for n in range(5)),
        sign("s3").delete(group_id, 1),
        *(sign(f"b{n}", "t1").add(group_id, 6) for n in range(5)),
        return_exceptions=True,
    )
    codes = {getattr(result, "code", 0) for place, result in enumerate(results) if place != 5}
    assert codes in ({0}, {GroupFull.code})
    assert (phone(6) in await mine.phones(group_id)) == (codes == {0})


async def test_token_without_a_signature_is_a_key_too(mine: Groups) -> None:
    request = mine.sent(client_token="t1")
    group_id = await create(request)
    assert await create(request) == group_id
    with pytest.raises(ClientTokenReused):
        await create(request, 2)


@pytest.mark.parametrize("has_token", [False, True])
async def test_writes_at_once_are_each_carried_out_or_refused(
    sign: Sign, mine: Groups, *, has_token: bool
) -> None:
    def request(number: int) -> Groups:
        return sign(f"s{number}", f"t{number // 2}" if has_token else None)

    results = await asyncio.gather(
        *(request(n).create(range(6 if n % 4 > 1 else 3)) for n in range(40)),
        return_exceptions=True,
    )
    refused = [n for n, result in enumerate(results) if isinstance(result, GroupFull)]
    assert refused == [n for n in range(40) if n % 4 > 1]
    created = [str(result) for n, result in enumerate(results) if n % 4 <= 1]
    assert sorted(await mine.ids()) == sorted({*created})
    assert len({*created}) == (10 if has_token else 20)
