import asyncio
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from tests import direct
from tests.groups.actions import Groups, joined, phone

from openpns.core.context import Context, Services
from openpns.errors import InternalError, ServiceUnavailable
from openpns.groups import transfer
from openpns.groups.rows import COLUMNS
from openpns.groups.transfer import BadRow, Imported

pytestmark = pytest.mark.usefixtures("sound_tables")

Columns = dict[str, str]


def group_id(number: int) -> str:
    return f"{number:032x}"


def row(number: int, numbers: Iterable[int] = (1,), name: str = "", remark: str = "") -> Columns:
    values = (group_id(number), name, joined(numbers), remark)
    return dict(zip(COLUMNS, values, strict=True))


class Import:
    """A run of the import over rows, and what it reported."""

    def __init__(self, services: Services, customer_id: str = "cus_1") -> None:
        self.services = services
        self.customer_id = customer_id
        self.bad: list[tuple[int, str]] = []
        self.batches = 0

    async def run(self, *rows: Columns, dry_run: bool = False) -> tuple[int, int, int]:
        """Import rows as lines 2 and following; return the counts."""
        done = await transfer.import_rows(
            self.services,
            self.customer_id,
            enumerate(rows, start=2),
            on_bad=self._note_bad,
            on_batch=self._note_batch,
            dry_run=dry_run,
        )
        assert isinstance(done, Imported)
        assert done.bad == len(self.bad)
        return done.groups, done.phones, done.bad

    def _note_bad(self, bad: BadRow) -> None:
        self.bad.append((bad.line, bad.why))

    def _note_batch(self) -> None:
        self.batches += 1


@pytest.fixture
def run(services: Services, mine: Groups) -> Import:
    """An import for the customer cus_1."""
    return Import(services)


async def exported(groups: Groups) -> list[tuple[str, ...]]:
    rows = transfer.export_rows(groups.context.services, groups.context.customer_id)
    return [one async for one in rows]


async def test_import_creates_groups_in_the_order_of_the_file(run: Import, mine: Groups) -> None:
    first = await mine.create([1])
    rows = [row(9, [5, 3], "Nacht", "a, b"), row(2, [7]), row(5, [])]
    assert await run.run(*rows) == (3, 3, 0)
    assert await mine.page() == (
        4,
        [
            ("cus_1", first, first, phone(1), ""),
            ("cus_1", "Nacht", group_id(9), joined([5, 3]), "a, b"),
            ("cus_1", group_id(2), group_id(2), phone(7), ""),
            ("cus_1", group_id(5), group_id(5), "", ""),
        ],
    )
    await mine.add(group_id(9), 3, 4)
    assert await mine.phones(group_id(9)) == joined([5, 3, 4])


async def test_import_gives_a_row_without_group_id_a_new_one(run: Import, mine: Groups) -> None:
    assert await run.run({"phones": phone(1)}, {"phones": phone(2), "groupId": ""}) == (2, 2, 0)
    total, rows = await mine.page()
    assert total == len({one[2] for one in rows}) == 2
    assert [(one[1] == one[2], one[3]) for one in rows] == [(True, phone(1)), (True, phone(2))]


async def test_import_of_an_export_restores_the_same_groups(
    run: Import, mine: Groups, theirs: Groups
) -> None:
    await mine.create([3, 1, 2], "Lieferung 牛 🚚", 'a "remark", with a comma')
    await mine.delete(await mine.create([4]), 4)
    await theirs.create([9])
    rows = await exported(mine)
    assert [one[2] for one in rows] == [joined([3, 1, 2]), ""]
    columns = [dict(zip(COLUMNS, one, strict=True)) for one in rows]
    copy = Import(run.services, "cus_2")
    assert await copy.run(*columns) == (2, 3, 0)
    assert (await exported(theirs))[1:] == rows


async def test_export_is_oldest_first_and_one_snapshot(mine: Groups) -> None:
    ids = [await mine.create([number]) for number in range(150)]
    seen = []
    async for one in transfer.export_rows(mine.context.services, "cus_1"):
        seen.append(one[0])
        if len(seen) in (1, 70, 130):
            await mine.drop(ids[len(seen) + 10])
            await mine.create([1])
    assert seen == ids


async def test_export_closed_early_blocks_no_write(mine: Groups) -> None:
    for number in range(3):
        await mine.create([number])
    async with aclosing(transfer.export_rows(mine.context.services, "cus_1")) as rows:
        await anext(rows)
    await mine.create([3])
    assert len(await exported(mine)) == 4


async def test_export_returns_nothing_for_customer_without_groups(mine: Groups) -> None:
    assert await exported(mine) == []


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"error": "2 columns, expected 4"}, "2 columns, expected 4"),
        ({"groupId": "x"}, "groupId must be empty or 32 lower-case hex characters"),
        ({"groupId": "A" * 32}, "groupId must be empty or 32 lower-case hex characters"),
        ({"phones": f"{phone(1)},0{phone(2)}"}, "phones: item 2 must be 5 to 15 digits"),
        ({"phones": f"{phone(1)},"}, "phones: item 2 is empty"),
        ({"phones": joined(range(6))}, "a group may hold at most 5 numbers"),
        ({"phones": joined([1] * 9)}, "phones must hold at most 8 numbers"),
        ({"groupName": "n" * 129}, "groupName is too long or has control characters; allowed are"),
        ({"groupName": "a\nb"}, "groupName is too long or has control characters"),
        ({"remark": "r" * 513}, "remark is too long or has control characters"),
    ],
)
async def test_import_skips_and_reports_bad_row_without_its_phones(
    run: Import, mine: Groups, columns: Columns, why: str
) -> None:
    run.services = replace(run.services, phones_in_group_max=5, phones_in_request_max=8)
    assert await run.run(row(1), row(2) | columns, row(3)) == (2, 2, 1)
    ((line, reason),) = run.bad
    assert line == 3
    assert reason.startswith(why)
    assert "852" not in reason
    assert await mine.ids() == [group_id(1), group_id(3)]


async def test_import_skips_repeated_group_id(run: Import, mine: Groups) -> None:
    bad_first = row(1) | {"phones": "bad"}
    rows = [bad_first, row(1, [5]), row(2), row(1, [6])]
    assert await run.run(*rows) == (2, 2, 2)
    assert run.bad[1] == (5, "groupId is in the file twice")
    assert await mine.phones(group_id(1)) == phone(5)


async def test_import_skips_group_id_that_the_customer_has(
    run: Import, mine: Groups, theirs: Groups
) -> None:
    own, other = await mine.create([1]), await theirs.create([2])
    rows = [row(1), row(2) | {"groupId": own}, row(3) | {"groupId": other}]
    assert await run.run(*rows) == (2, 2, 1)
    assert run.bad == [(3, "groupId exists already")]
    assert await mine.phones(own) == phone(1)
    assert await mine.ids() == [own, group_id(1), other]
    assert await theirs.phones(other) == phone(2)


async def test_import_of_the_same_file_again_adds_nothing(run: Import, mine: Groups) -> None:
    rows = [row(number) for number in range(5)]
    assert await run.run(*rows) == (5, 5, 0)
    assert await run.run(*rows) == (0, 0, 5)
    assert (await mine.page())[0] == 5


async def test_import_dry_run_reports_the_same_and_writes_nothing(
    run: Import, mine: Groups, query: direct.Query
) -> None:
    own = await mine.create([1])
    rows = [row(1, [1, 2]), row(2) | {"groupId": own}, row(1), row(3) | {"phones": "bad"}]
    before = await query("SELECT * FROM customer_state")
    assert await run.run(*rows, dry_run=True) == (1, 2, 3)
    assert await mine.ids() == [own]
    assert await query("SELECT * FROM customer_state") == before
    real = Import(run.services)
    assert await real.run(*rows) == (1, 2, 3)
    assert real.bad == run.bad


async def test_import_writes_batches_of_bounded_groups(
    run: Import, mine: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH_GROUPS", 4)
    rows = [row(number) for number in range(10)]
    assert await run.run(*rows) == (10, 10, 0)
    assert run.batches == 3
    assert await mine.ids() == [group_id(number) for number in range(10)]


async def test_import_writes_batches_of_bounded_phones(
    run: Import, mine: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH_PHONES", 5)
    rows = [row(number, range(size)) for number, size in enumerate((3, 2, 1, 9, 1, 4))]
    assert await run.run(*rows) == (6, 20, 0)
    assert run.batches == 4
    assert await mine.ids() == [group_id(number) for number in range(6)]


async def test_import_of_empty_file_writes_nothing(run: Import, mine: Groups) -> None:
    assert await run.run() == (0, 0, 0)
    assert run.batches == 0


async def test_import_after_a_failure_completes_the_file(
    run: Import, mine: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH_GROUPS", 2)
    rows = [row(number) for number in range(6)]

    def break_off() -> Iterator[Columns]:
        yield from rows[:4]
        raise ServiceUnavailable

    with pytest.raises(ServiceUnavailable):
        await transfer.import_rows(
            run.services,
            "cus_1",
            enumerate(break_off()),
            on_bad=run._note_bad,
            on_batch=run._note_batch,
            dry_run=False,
        )
    assert await mine.ids() == [group_id(0), group_id(1)]
    assert await run.run(*rows) == (4, 4, 2)
    assert sorted(await mine.ids()) == [group_id(number) for number in range(6)]


async def test_import_writes_nothing_of_a_batch_that_the_database_refuses(
    run: Import, mine: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(run.services.ids), "group_id", lambda _: group_id(7))
    with pytest.raises(InternalError):
        await run.run(row(1), {"phones": phone(2)}, {"phones": phone(3)})
    assert await mine.page() == (0, [])


async def test_imports_at_once_of_one_file_create_each_group_once(
    services: Services, context: Context
) -> None:
    rows = [
        (line, {"groupId": f"{line:032x}", "phones": f"8521111{line:04d}"}) for line in range(2, 52)
    ]
    bad: list[transfer.BadRow] = []
    done = await asyncio.gather(
        *(
            transfer.import_rows(
                services,
                context.customer_id,
                rows,
                on_bad=bad.append,
                on_batch=lambda: None,
                dry_run=False,
            )
            for _ in range(3)
        )
    )
    assert sorted(each.groups for each in done) == [0, 0, 50]
    assert {row.why for row in bad} == {"groupId exists already"}
    assert len(bad) == 100
