import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import asyncpg
import pytest
from tests import direct
from tests.storage.conftest import add

from openpns.errors import GroupNotFound, InternalError, OutcomeUnknown, ServiceUnavailable
from openpns.storage import connect
from openpns.storage.postgres.runner import Runner, SeparateRunner
from openpns.storage.postgres.write_batcher import (
    BatchFailed,
    Outcome,
    PendingWrite,
    WriteBatcher,
    run_lockstep,
)
from openpns.storage.statements import prepare
from openpns.storage.store import (
    BatchKey,
    Row,
    Statement,
    StatementBatch,
    Step,
    Store,
    Transaction,
)

MakeSteps = Callable[[], Transaction[Any]]


def write(*names: str, then: Exception | None = None) -> MakeSteps:
    """Return steps that run statements of these names and return their rows."""

    def steps() -> Transaction[list[Any]]:
        found = []
        for name in names:
            rows = yield Statement(name, {})
            found.append([*rows])
        if then is not None:
            raise then
        return found

    return steps


class Engine:
    """Runs writes when it is released, and notes which ran together."""

    def __init__(self) -> None:
        self.together: list[int] = []
        self.alone = 0
        self.gate = asyncio.Semaphore(0)
        self.errors: list[Exception] = []
        self.batcher = WriteBatcher(self.run_together, self.run_alone)
        self._count = 0

    def run(self, steps: MakeSteps, kind: str = "cus_1") -> "asyncio.Future[Any]":
        self._count += 1
        key = BatchKey(kind, (f"resource {self._count}",))
        return asyncio.ensure_future(self.batcher.run(key, steps))

    async def run_together(self, writes: Sequence[PendingWrite]) -> Sequence[Outcome]:
        self.together.append(len(writes))
        await self.gate.acquire()
        if self.errors:
            raise self.errors.pop(0)
        return [(place, None) for place in range(len(writes))]

    async def run_alone(self, steps: MakeSteps, _customer_id: str) -> Any:
        self.alone += 1
        await self.gate.acquire()
        try:
            next(steps())
        except StopIteration as stop:
            return stop.value
        return None


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def release(engine: Engine, times: int) -> None:
    for _ in range(times):
        engine.gate.release()
        await turn()


async def test_writes_that_arrive_while_one_is_in_flight_run_together_after_it() -> None:
    engine = Engine()
    first = engine.run(write())
    await turn()
    behind = [engine.run(write()) for _ in range(5)]
    elsewhere = engine.run(write(), "cus_2")
    await turn()
    assert (engine.alone, engine.together) == (2, [])  # another kind does not wait
    await release(engine, 3)
    await asyncio.gather(first, elsewhere)
    assert await asyncio.gather(*behind) == [0, 1, 2, 3, 4]
    assert engine.together == [5]


async def test_one_transaction_takes_at_most_64_writes() -> None:
    engine = Engine()
    all_ = asyncio.gather(*(engine.run(write()) for _ in range(150)))
    await turn()
    await release(engine, 3)
    await all_
    assert engine.together == [64, 64, 22]


async def test_a_failed_write_runs_alone_and_the_others_together_again() -> None:
    engine = Engine()
    engine.errors = [BatchFailed([1])]
    bad = write(then=GroupNotFound("why"))
    writes = [engine.run(steps) for steps in (write(), bad, write())]
    await turn()
    await release(engine, 3)
    good, error, also_good = await asyncio.gather(*writes, return_exceptions=True)
    assert (good, also_good) == (0, 1)
    assert isinstance(error, GroupNotFound)
    assert (engine.together, engine.alone) == ([3, 2], 1)


async def test_each_write_runs_alone_if_a_batch_fails_twice() -> None:
    engine = Engine()
    engine.errors = [BatchFailed([1]), BatchFailed([0])]
    writes = asyncio.gather(*(engine.run(write()) for _ in range(4)))
    await turn()
    await release(engine, 6)
    assert await writes == [[]] * 4
    assert (engine.together, engine.alone) == ([4, 3], 4)


@pytest.mark.parametrize("kind", [ServiceUnavailable, OutcomeUnknown])
async def test_lost_storage_is_raised_to_all_callers_without_repeating_writes(
    kind: type[ServiceUnavailable | OutcomeUnknown],
) -> None:
    engine = Engine()
    engine.errors = [kind("lost")]
    writes = asyncio.gather(*(engine.run(write()) for _ in range(3)), return_exceptions=True)
    await turn()
    await release(engine, 1)
    errors = await writes
    assert [type(error) for error in errors] == [kind] * 3
    assert len({id(error) for error in errors}) == 3
    assert engine.alone == 0


async def test_cancelled_caller_does_not_affect_the_others() -> None:
    engine = Engine()
    leaving, staying = engine.run(write()), engine.run(write())
    await turn()
    leaving.cancel()
    engine.gate.release()
    assert await staying == 1
    engine.gate.release()
    assert await engine.run(write()) == []


async def test_batcher_has_no_batch_left_after_the_last_write() -> None:
    engine = Engine()
    engine.gate.release()
    await engine.run(write())
    await turn()
    assert engine.batcher._batches == {}


class Database:
    """Gives each statement its number as its row; those named `none` find no row."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self._count = 0

    async def run(self, steps: Sequence[Step]) -> list[Sequence[Row]]:
        self.ran.append([step.name for step in steps if isinstance(step, Statement)])
        return [self._rows(name) for name in self.ran[-1]]

    def _rows(self, name: str) -> list[Row]:
        self._count += 1
        return [] if name == "none" else [(self._count,)]


async def lockstep(database: Database, *writes: tuple[str, MakeSteps]) -> list[Outcome]:
    return await run_lockstep([PendingWrite(*one) for one in writes], database.run)


async def test_lockstep_runs_the_next_step_of_each_write_and_gives_it_its_rows() -> None:
    database = Database()
    writes = [("b", write("lock", "put")), ("a", write("lock", "put", "more")), ("c", write())]
    assert await lockstep(database, *writes) == [
        ([[(2,)], [(4,)]], None),
        ([[(1,)], [(3,)], [(5,)]], None),
        ([], None),
    ]
    assert database.ran == [["lock", "lock"], ["put", "put"], ["more"]]


async def test_lockstep_runs_writes_to_one_resource_one_after_the_other() -> None:
    database = Database()
    writes = [("a", write("one")), ("b", write("one", "three")), ("a", write("four"))]
    await lockstep(database, *writes)
    assert database.ran == [["one", "one"], ["four", "three"]]


async def test_lockstep_runs_writes_with_a_resource_in_common_one_after_the_other() -> None:
    database = Database()
    writes: list[tuple[tuple[str, ...], MakeSteps]] = [
        (("e", "d"), write("lock", "first")),
        (("c",), write("lock", "second")),
        (("f",), write("lock", "alone")),
        (("c", "d"), write("lock", "third")),  # joins the first two
        (("e",), write("lock", "fourth")),
    ]
    outcomes = await run_lockstep([PendingWrite(*one) for one in writes], database.run)
    assert database.ran == [
        ["lock", "lock"],
        ["first", "alone"],
        *(["lock"], ["second"], ["lock"], ["third"], ["lock"], ["fourth"]),
    ]
    assert [error for _, error in outcomes] == [None] * 5


async def test_lockstep_refuses_a_write_alone_that_has_changed_nothing() -> None:
    database = Database()
    refusal = GroupNotFound("why")
    bad = write("none", then=refusal)
    good = write("none", "put")
    outcomes = await lockstep(database, ("a", bad), ("a", good), ("b", good))
    assert outcomes == [(None, refusal), ([[], [(5,)]], None), ([[], [(4,)]], None)]


async def test_lockstep_fails_if_writes_begin_with_different_statements() -> None:
    database = Database()
    with pytest.raises(BatchFailed) as failure:
        await lockstep(database, ("a", write("one")), ("b", write("two")), ("c", write()))
    assert (list(failure.value.places), database.ran) == ([0, 1, 2], [])


async def test_lockstep_fails_if_a_write_fails_that_may_have_changed_something() -> None:
    database = Database()
    bad = write("put", then=GroupNotFound("why"))
    with pytest.raises(BatchFailed) as failure:
        await lockstep(database, ("a", write("put", "put")), ("b", bad), ("c", write("put")))
    assert failure.value.places == [1]
    assert database.ran == [["put"] * 3]


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    """A store with one customer."""
    opened = await connect.open_store(postgres_url)
    await connect.migrate(opened, postgres_url)
    await opened.write(add("cus_1"))
    yield opened
    await opened.close()


@pytest.mark.parametrize("kind", [Runner, SeparateRunner])
async def test_a_change_without_rows_is_seen_as_a_change(
    postgres_url: str, kind: type[Runner]
) -> None:
    texts = {"change": "UPDATE own SET number = 1", "find": "SELECT 7"}
    runner = kind({name: prepare(name, sql, "postgres") for name, sql in texts.items()})
    change, find = Statement("change", {}), Statement("find", {})
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TEMP TABLE own (number integer)")
    one, other, both = await runner.run_wave(connection, [change, find, [change, find]])
    await connection.close()
    assert [[*map(tuple, rows)] for rows in (one, other)] == [[(True,)], [(7,)]]
    assert [[*map(tuple, rows)] for rows in both] == [[(True,)], [(7,)]]


async def test_waiting_writes_of_one_kind_share_a_transaction(
    store: Store, postgres_url: str
) -> None:
    writes = [add(f"cus_{number}") for number in range(2, 12)]
    writes[4] = add("cus_1")  # the database refuses it
    results = await asyncio.gather(
        *(
            store.write(steps, batch_key=BatchKey(kind, (f"{number % 3}",)))
            for number, steps in enumerate(writes)
            for kind in ["odd" if number % 2 else "even"]
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int] * 4 + [InternalError] + [int] * 5
    rows = await direct.query(
        postgres_url, "SELECT customer_id, CAST(xmin AS text) FROM customer WHERE created_ms = 1"
    )
    transactions = dict(rows)
    assert len({transactions[f"cus_{number}"] for number in (3, 5, 7, 9, 11)}) == 1
    assert len({transactions[f"cus_{number}"] for number in (2, 4, 8, 10)}) == 4


async def test_statement_batches_of_writes_that_share_a_transaction(
    store: Store, postgres_url: str
) -> None:
    def insert(number: int) -> Transaction[object]:
        rows = [
            {"customer_id": "cus_1", "group_seq": number, "phone": f"8521111111{n}", "position": n}
            for n in range(3)
        ]
        return (yield StatementBatch("group_member_insert", rows))

    writes = (
        store.write(partial(insert, number), batch_key=BatchKey("kind", (str(number),)))
        for number in range(4)
    )
    assert await asyncio.gather(*writes) == [[]] * 4
    assert await direct.query(postgres_url, "SELECT count(*) FROM group_member") == [(12,)]
