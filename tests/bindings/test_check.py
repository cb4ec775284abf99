"""What `openpns verify` finds wrong with virtual numbers and bindings."""

from typing import Any

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.conftest import FakeClock

from openpns.bindings.check import check_bindings
from openpns.clock import now_ms


async def problems(bindings: Bindings) -> list[str]:
    found: list[str] = []
    await check_bindings(bindings.context.store, found.append)
    return found


@pytest.fixture
async def filled(mine: Bindings, clock: FakeClock) -> Bindings:
    """Bindings of each kind, live and ended."""
    clock.now_ms = now_ms()
    await mine.bind(A, B)
    await mine.bind_digits("123", C, Y)
    await mine.bind_group(await mine.group(C, D), "85255555555", phone_x=X)
    bind_id, _ = await mine.bind("85266666666", "85277777777")
    await mine.unbind(bind_id)
    return mine


async def test_sound_database_has_no_problem(filled: Bindings) -> None:
    found: list[str] = []
    counts = await check_bindings(filled.context.store, found.append)
    assert found == []
    assert counts == {"virtualNumbers": 2, "bindings": 3, "customersHeld": 0}


async def test_expired_binding_whose_seat_was_taken_is_no_problem(
    filled: Bindings, clock: FakeClock
) -> None:
    clock.now_ms -= 60_000
    await filled.bind("85266666661", "85266666662", 5)
    await filled.bind("85266666661", "85266666662", 5)
    clock.now_ms += 60_000
    bind_id, _ = await filled.bind("85266666661", "85266666663")
    assert await problems(filled) == []
    await filled.unbind(bind_id)
    assert await problems(filled) == []


async def test_group_that_was_deleted_before_its_expired_binding_is_no_problem(
    filled: Bindings, clock: FakeClock
) -> None:
    clock.now_ms -= 60_000
    group_id = await filled.group("85266666661")
    await filled.bind_group(group_id, "85266666662", 5)
    clock.now_ms += 60_000
    await filled.drop_group(group_id)
    assert await problems(filled) == []


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("UPDATE customer_state SET binding_count = 9", "its total says 9 bindings, there are 3"),
        ("UPDATE customer_state SET binding_next_seq = 1", "next place of its bindings is taken"),
        ("UPDATE number_load SET binding_count = 9", "its bindings are miscounted"),
        ("UPDATE number_load SET extension_count = 9", "its bindings are miscounted"),
        ("UPDATE number_load SET is_open = 0", "open for bindings but not active"),
        (f"DELETE FROM number_load WHERE did = '{Y}'", "one of virtual_number and number_load"),
        ("UPDATE number_group SET bound_count = 7", "bindings of a group are miscounted"),
        (f"UPDATE number_load SET did = '85290000009' WHERE did = '{Y}'", "which it does not have"),
        ("DELETE FROM number_group", "bindings of a group are miscounted"),
        ("UPDATE binding SET kind = 'axb' WHERE kind = 'axg'", "has a group but is not axg"),
        ("UPDATE binding SET customer_id = 'nobody'", "its total says 0 bindings, there are 3"),
        (f"UPDATE binding SET did = '{Y}' WHERE kind = 'axb'", "belongs to no binding"),
        (f"DELETE FROM seat WHERE phone = '{A}'", "does not hold its place"),
        (f"DELETE FROM seat WHERE phone = '{B}'", "does not hold its place"),
        ("DELETE FROM seat WHERE phone = '#123'", "does not hold its place"),
        (f"UPDATE seat SET binding_seq = 77 WHERE phone = '{A}'", "belongs to no binding"),
        (f"UPDATE seat SET live_until_ms = 5 WHERE phone = '{A}'", "belongs to no binding"),
        (f"UPDATE group_member SET phone = '{A}' WHERE phone = '{D}'", "has another live"),
    ],
)
async def test_each_contradiction_is_found(
    filled: Bindings, database_url: str, sql: str, why: str
) -> None:
    await direct.run(database_url, sql)
    found = await problems(filled)
    assert any(why in text for text in found), found
    assert not any(phone in text for text in found for phone in (A, B, C, D, X, Y))


async def test_findings_are_reported_one_by_one_and_not_kept(
    mine: Bindings, database_url: str
) -> None:
    """The database finds what is wrong: what is right is never read into memory."""
    for n in range(30):
        await mine.bind(f"852111111{n:02}", f"852222222{n:02}")
    asked: list[str] = []
    store = mine.context.store

    class Watched:
        def stream(self, name: str, params: dict[str, int], rows_each: int) -> Any:
            return self._count(store.stream(name, params, rows_each))

        async def _count(self, slices: Any) -> Any:
            async for rows in slices:
                asked.extend(map(str, rows))
                yield rows

        async def fetch(self, name: str, params: dict[str, int]) -> Any:
            return await store.fetch(name, params)

    found: list[str] = []
    await check_bindings(Watched(), found.append)  # type: ignore[arg-type]
    assert (asked, found) == ([], [])
    await direct.run(database_url, "DELETE FROM seat")
    await check_bindings(Watched(), found.append)  # type: ignore[arg-type]
    assert len(asked) == len(found) == 60
