"""listNumbers, and the bounds on virtual numbers."""

import pytest
from tests.bindings.actions import A, B, Bindings, X, Y, Z

from openpns.errors import DidWithoutCountry, ParameterError
from openpns.numbers.listing import list_numbers, number_limits


async def dids(bindings: Bindings, limit: int = 0, **filters: str) -> list[str]:
    page = await list_numbers(bindings.context, limit=limit, **filters)
    return [number.did for number in page.numbers]


async def test_list_shows_state_and_room(mine: Bindings, theirs: Bindings) -> None:
    mine = mine.bounded(bindings_per_number_max=3)
    await mine.add(Z, business="food")
    await mine.bind(A, B)
    await mine.set_state(Y, "draining")
    shown = (await list_numbers(mine.context, limit=10)).numbers
    assert [(n.did, n.business_id, n.state, n.country, n.bindings, n.room) for n in shown] == [
        (X, "default", "active", "852", 1, 2),
        (Y, "default", "draining", "852", 0, 0),
        (Z, "food", "active", "852", 0, 3),
    ]
    assert await dids(theirs) == []


async def test_list_by_pages_and_filters(mine: Bindings) -> None:
    await mine.add(Z)
    await mine.set_state(Y, "disabled")
    first = await list_numbers(mine.context, limit=2)
    assert ([n.did for n in first.numbers], first.next) == ([X, Y], Y)
    second = await list_numbers(mine.context, limit=2, after=first.next)
    assert ([n.did for n in second.numbers], second.next) == ([Z], None)
    assert await dids(mine, did=f"+{Y}") == [Y]
    assert await dids(mine, state="active") == [X, Z]
    with pytest.raises(ParameterError, match="did must be a virtual number"):
        await dids(mine, did="1")
    with pytest.raises(DidWithoutCountry):
        await dids(mine, did="21099999999")


async def test_limits_count_numbers(mine: Bindings) -> None:
    found = {limit.name: (limit.max, limit.used) for limit in await number_limits(mine.context)}
    assert found["virtualNumbers"] == (None, 2)
