"""The rows that the benchmark writes by SQL are those that openpns would have written."""

import json

import pytest
from bench.bindings import asking_calls
from bench.fill import Holding, fill, group_id
from bench.fill_bindings import did_of, phones_of
from tests import direct
from tests.conftest import FakeClock
from tests.groups.actions import Groups

from openpns.api.registry import CHECKS
from openpns.bindings.service import bind_axb
from openpns.clock import now_ms
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.core.verify import verify
from openpns.groups.phone_chunks import PHONES_IN_CHUNK
from openpns.ids import Snowflake
from openpns.routing.service import query_axb
from openpns.storage import connect

LONG = PHONES_IN_CHUNK * 2 + 5


async def test_filled_groups_behave_like_any_other(database_url: str) -> None:
    await fill(
        database_url, [Holding("short-ones", 5), Holding("long-ones", 2, LONG), Holding("none", 0)]
    )
    store = await connect.open_store(database_url)
    services = Services(store, Snowflake(FakeClock(), worker_id=1), FakeClock())

    def groups(customer: str) -> Groups:
        return Groups(Context(services, Principal("key", customer)))

    async def phones(customer: str, total: int) -> list[list[str]]:
        found, rows = await groups(customer).page()
        assert found == total
        return [row[3].split(",") for row in rows]

    try:
        assert (await verify(store, CHECKS, pytest.fail))["wrong"] == 0
        assert (await phones("short-ones", 5))[1] == [
            "8613000000003",
            "8613000000004",
            "8613000000005",
        ]
        assert await phones("none", 0) == []
        first, second = await phones("long-ones", 2)
        assert first == [f"8613{number:09}" for number in range(LONG)]
        long_ones, last = groups("long-ones"), group_id("long-ones", 1)
        # Finds the phone among the members, and rewrites the text from them.
        await long_ones.change(last, operate_type=1, phones=second[0])
        assert (await phones("long-ones", 2))[1] == second[1:]
        await long_ones.drop(group_id("long-ones", 0))
        assert await phones("long-ones", 1) == [second[1:]]
    finally:
        await store.close()


async def test_filled_bindings_behave_like_any_other(database_url: str) -> None:
    first = Holding("first", 1, dids=2, bindings=5)
    second = Holding("second", 0, dids=3, first_did=2, bindings=3)
    await fill(database_url, [first, second, Holding("none", 0)])
    store = await connect.open_store(database_url)
    services = Services(store, Snowflake(now_ms, worker_id=1), now_ms)

    def context(customer: str) -> Context:
        return Context(services, Principal("key", customer))

    try:
        assert (await verify(store, CHECKS, pytest.fail))["wrong"] == 0
        for holding in (first, second):
            for binding in range(holding.bindings):
                did = did_of(holding.first_did + binding % holding.dids)
                a, b = phones_of(binding)
                for caller, callee in ((a, b), (b, a)):
                    answer = await query_axb(context(holding.customer), caller=caller, did=did)
                    assert answer.callee == callee
        # The virtual number with the fewest bindings: the second one of two with five.
        new = await bind_axb(
            context("first"), phone_a="8615000000001", phone_b="8615000000002", expire_second=0
        )
        assert new.did == did_of(1)
        assert (await verify(store, CHECKS, pytest.fail))["wrong"] == 0
    finally:
        await store.close()


async def test_questions_of_the_benchmark_name_filled_bindings(database_url: str) -> None:
    holding = Holding("asked", 0, dids=3, first_did=4, bindings=7)
    await fill(database_url, [holding])
    seats = await direct.query(database_url, "SELECT phone, did FROM seat")
    asked = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in asking_calls(holding)(28)]
    assert {(each["caller"], each["did"]) for each in asked} <= set(seats)
    assert len({each["caller"] for each in asked}) == len(seats) == 14
