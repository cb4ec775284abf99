"""Bindings from elsewhere: import, change and export."""

import msgspec
import pytest
from msgspec import structs
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.conftest import FakeClock

from openpns.bindings import operations, transfer
from openpns.bindings.changes import unbind_axb
from openpns.bindings.transfer import BindingRow
from openpns.bindings.wire import UnbindAXB
from openpns.errors import (
    BindingConflict,
    CountryMismatch,
    CustomerBindIdInUse,
    GroupNotFound,
    NoVirtualNumber,
)

pytestmark = pytest.mark.usefixtures("sound_tables")

ID = "{:032x}".format
AXB = BindingRow("axb", ID(1), X, A, B)


async def bring(bindings: Bindings, row: BindingRow) -> str:
    context = bindings.context
    return await transfer.import_binding(context.services, context.customer_id, row)


async def rows_of(bindings: Bindings) -> list[BindingRow]:
    context = bindings.context
    rows = transfer.export_rows(context.services, context.customer_id)
    return [row async for row in rows]


async def test_bindings_of_each_kind_keep_what_they_have(mine: Bindings) -> None:
    group_id = await mine.group(C)
    rows = [
        structs.replace(AXB, customer_bind_id="o", flag=1, expire_at=4_000_000_000),
        BindingRow("extension", ID(2), X, C, phone_b=D, extension="042"),
        BindingRow("axg", ID(3), Y, D, phone_b=C, group_id=group_id),
    ]
    assert [await bring(mine, row) for row in rows] == ["new"] * 3
    assert [await bring(mine, row) for row in rows] == ["same"] * 3
    assert await rows_of(mine) == rows
    assert [await mine.call(A), await mine.call(C, Y), await mine.call(D, Y)] == [B, D, C]


async def test_changed_binding_keeps_its_id(mine: Bindings) -> None:
    await bring(mine, AXB)
    changed = structs.replace(AXB, did=Y, phone_b=C, expire_at=4_000_000_000)
    assert await bring(mine, changed) == "changed"
    assert await rows_of(mine) == [changed]
    assert [await mine.call(A), await mine.call(A, Y), await mine.call(C, Y)] == ["", C, A]
    await mine.unbind(ID(1))


async def test_own_id_of_a_binding_that_ran_out_is_free(mine: Bindings, clock: FakeClock) -> None:
    await mine.bind(A, B, 5, customer_bind_id="o")
    clock.now_ms += 10_000
    assert await bring(mine, structs.replace(AXB, customer_bind_id="o")) == "new"
    assert await mine.ids() == [ID(1)]


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (NoVirtualNumber, structs.replace(AXB, did="85290000009")),
        (CountryMismatch, structs.replace(AXB, phone_b="8613800138000")),
        (GroupNotFound, BindingRow("axg", ID(2), X, A, group_id=ID(7))),
        (BindingConflict, structs.replace(AXB, bind_id=ID(2), phone_b=C)),
    ],
)
async def test_binding_that_does_not_fit_is_refused(
    mine: Bindings, error: type[Exception], row: BindingRow
) -> None:
    await bring(mine, AXB)
    with pytest.raises(error):
        await bring(mine, row)
    assert await rows_of(mine) == [AXB]


async def test_imported_binding_that_ended_elsewhere_is_ended(mine: Bindings) -> None:
    context = mine.context
    services, customer_id = context.services, context.customer_id
    await transfer.import_binding(services, customer_id, AXB, "elsewhere")
    await mine.bind(C, D)
    assert await transfer.list_of_origin(services, customer_id, "elsewhere") == [ID(1)]
    for _ in range(2):
        await transfer.end_imported(services, customer_id, ID(1))
    assert await mine.call(A) == ""
    assert await transfer.list_of_origin(services, customer_id, "elsewhere") == []
    assert await transfer.find_row(services, customer_id, ID(1)) is None


async def test_own_id_of_another_live_binding_is_refused(mine: Bindings) -> None:
    row = structs.replace(AXB, customer_bind_id="o")
    await bring(mine, row)
    with pytest.raises(CustomerBindIdInUse):
        await bring(mine, structs.replace(row, bind_id=ID(2), did=Y))
    assert await rows_of(mine) == [row]
    await mine.unbind(ID(1))
    assert await bring(mine, structs.replace(row, bind_id=ID(2))) == "new"


async def test_binding_that_was_imported_again_can_end_again(mine: Bindings) -> None:
    for _ in range(2):
        assert await bring(mine, AXB) == "new"
        await mine.unbind(ID(1))
    assert await mine.call(A) == ""


async def test_what_changed_since_a_binding_was_made_does_not_stop_its_import(
    mine: Bindings,
) -> None:
    """The second phone has left the group, and the first one is a virtual number now.

    Nobody is connected to a virtual number.
    """
    group_id = await mine.group(C)
    await mine.add(A)
    row = BindingRow("axg", ID(3), Y, A, phone_b=D, group_id=group_id)
    assert await bring(mine, row) == "new"
    assert await mine.call(C, Y) == ""
    assert await mine.explain(C, Y) == ("", ID(3), "ownNumber")
    await operations.remove_number(mine.context.store, mine.context.clock, A, is_forced=False)
    assert await mine.call(C, Y) == A


async def test_long_id_can_be_unbound(mine: Bindings) -> None:
    bind_id = "B_z-" * 16
    await bring(mine, structs.replace(AXB, bind_id=bind_id))
    body = msgspec.convert({"bindId": bind_id}, UnbindAXB)
    await unbind_axb(mine.context, **body.parameters())
    assert await mine.ids() == []


async def test_binding_belongs_to_the_origin_that_lists_it(mine: Bindings) -> None:
    services, customer_id = mine.context.services, mine.context.customer_id
    for origin in ("one", "two", "import"):
        await transfer.import_binding(services, customer_id, AXB, origin)
    assert await transfer.list_of_origin(services, customer_id, "one") == []
    assert await transfer.list_of_origin(services, customer_id, "two") == [ID(1)]
