import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, nullcontext
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from asyncpg.pool import Pool
from asyncpg.transaction import Transaction as DriverTransaction
from tests import direct
from tests.storage.conftest import add, ids_in

from openpns.errors import ConfigError, OutcomeUnknown, ReadFailed, ServiceUnavailable
from openpns.storage import connect, migrations
from openpns.storage.migrations import Migration
from openpns.storage.postgres.store import PostgresStore
from openpns.storage.statements import prepare
from openpns.storage.store import Statement, Transaction

ALL: dict[str, object] = {"customer_id": None}
END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'openpns' AND datname = current_database()"
)


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store with at most two connections and one customer."""
    opened = await connect.open_store(postgres_url, timeout_ms=3000, connections_max=2)
    assert isinstance(opened, PostgresStore)
    await connect.migrate(opened, postgres_url)
    await opened.write(add("cus_1"))
    yield opened
    await opened.close()


@pytest.fixture
async def hasty(store: PostgresStore, postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store on the same database with one connection and a short timeout."""
    opened = await connect.open_store(postgres_url, timeout_ms=300, connections_max=1)
    assert isinstance(opened, PostgresStore)
    yield opened
    await opened.close()


def teach(store: PostgresStore, name: str, sql: str) -> None:
    """Add a statement to a store."""
    store._statements[name] = prepare(name, sql, "postgres")


def run(name: str, attempts: list[str] | None = None) -> Callable[[], Transaction[None]]:
    """Return the step that runs one statement and records each attempt."""

    def steps() -> Transaction[None]:
        if attempts is not None:
            attempts.append(name)
        yield Statement(name, {})

    return steps


def fail_with(code: str) -> str:
    """Return SQL that fails with an error code of PostgreSQL."""
    return f"DO $do$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $do$"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("user", "name"), [("nobody_here", "postgres"), (None, "no_such_database")]
)
async def test_open_refuses_wrong_user_or_database_without_the_password(
    postgres_server: str, user: str | None, name: str
) -> None:
    parts = urlsplit(postgres_server)
    place = parts.netloc.rpartition("@")[2]
    who = f"{user or parts.username}:{parts.password or 'geheim'}"
    url = urlunsplit(parts._replace(netloc=f"{who}@{place}", path=f"/{name}"))
    with pytest.raises(ConfigError, match="cannot connect to PostgreSQL") as caught:
        await connect.open_store(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("place", ["127.0.0.1:{port}", "127.0.0.1:port", "[::1", "/no/folder"])
async def test_open_refuses_wrong_host_without_the_password(place: str) -> None:
    url = f"postgresql://user:geheim@{place.format(port=closed_port())}/name"
    with pytest.raises(ConfigError, match="cannot connect to PostgreSQL") as caught:
        await connect.open_store(url, timeout_ms=2000)
    assert "geheim" not in str(caught.value)


async def test_fetch_survives_loss_of_every_connection(
    store: PostgresStore, postgres_url: str
) -> None:
    for _ in range(5):
        await asyncio.gather(*(ids_in(store) for _ in range(4)))
        await direct.query(postgres_url, END_ALL)
        assert await ids_in(store) == ["cus_1"]
        assert (await store.applied_migrations())[-1].number == migrations.newest()


async def test_write_survives_loss_of_every_connection(
    store: PostgresStore, postgres_url: str
) -> None:
    for number in range(5):
        await direct.query(postgres_url, END_ALL)
        assert await store.write(add(f"new_{number}")) == 1
    assert len(await ids_in(store)) == 6


async def test_write_takes_effect_once_if_connection_is_lost_half_way(
    store: PostgresStore, postgres_url: str
) -> None:
    teach(store, "end_me", "SELECT pg_terminate_backend(pg_backend_pid())")
    attempts: list[str] = []

    def steps() -> Transaction[int]:
        attempts.append("again")
        yield from add("cus_2")()
        if len(attempts) == 1:
            yield Statement("end_me", {})
        return len(attempts)

    assert await store.write(steps) == 2
    assert await ids_in(store) == ["cus_1", "cus_2"]


async def test_write_gives_up_after_three_lost_connections(store: PostgresStore) -> None:
    teach(store, "end_me", "SELECT pg_terminate_backend(pg_backend_pid())")
    attempts: list[str] = []
    with pytest.raises(ServiceUnavailable, match="nothing was written"):
        await store.write(run("end_me", attempts))
    assert len(attempts) == 3
    with pytest.raises(ServiceUnavailable):
        await store.fetch("end_me", {})
    assert await ids_in(store) == ["cus_1"]


async def test_stream_raises_service_unavailable_if_connection_is_lost(
    store: PostgresStore, postgres_url: str
) -> None:
    await store.write(add("cus_2", "cus_3"))
    async with aclosing(store.stream("customer_list", ALL, 1)) as slices:
        await anext(slices)
        await direct.query(postgres_url, END_ALL)
        with pytest.raises(ServiceUnavailable):
            await anext(slices)
    assert len(await ids_in(store)) == 3


async def test_fetch_gives_up_a_slow_statement_without_repeating_it(
    hasty: PostgresStore, postgres_url: str
) -> None:
    await direct.query(postgres_url, "CREATE SEQUENCE asked")
    teach(hasty, "slow", "SELECT nextval('asked'), pg_sleep(60)")
    with pytest.raises(ServiceUnavailable) as caught:
        await hasty.fetch("slow", {})
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert await direct.query(postgres_url, "SELECT last_value, is_called FROM asked") == [
        (1, True)
    ]
    assert await ids_in(hasty) == ["cus_1"]


async def test_write_that_waits_too_long_leaves_nothing(
    hasty: PostgresStore, postgres_url: str
) -> None:
    def steps() -> Transaction[None]:
        yield from add("cus_2")()
        yield Statement("customer_disable", {"customer_id": "cus_1", "now_ms": 5})

    async with direct.holding(postgres_url, "UPDATE customer SET name = 'changed'"):
        with pytest.raises(ServiceUnavailable, match="nothing was written"):
            await hasty.write(steps)
        assert await ids_in(hasty) == ["cus_1"]
    await hasty.write(steps)
    assert await ids_in(hasty) == ["cus_1", "cus_2"]


async def test_wait_for_a_free_connection_times_out(hasty: PostgresStore) -> None:
    async with aclosing(hasty.stream("customer_list", ALL, 1)) as slices:
        await anext(slices)
        with pytest.raises(ServiceUnavailable):
            await hasty.write(add("cus_2"))
        with pytest.raises(ServiceUnavailable):
            await ids_in(hasty)
    assert await hasty.write(add("cus_2")) == 1


async def test_large_page_does_not_wait_for_two_of_another_customer(
    store: PostgresStore, postgres_url: str
) -> None:
    opened = await connect.open_store(postgres_url, timeout_ms=3000)  # with the default bounds
    await opened.write(add("cus_2"))
    first, second = (opened.stream("customer_list", {"customer_id": "cus_1"}, 1) for _ in range(2))
    async with aclosing(first), aclosing(second):
        await anext(first)
        waiting = asyncio.ensure_future(anext(second))
        await asyncio.sleep(0)
        async with aclosing(opened.stream("customer_list", {"customer_id": "cus_2"}, 1)) as other:
            assert len(await anext(other)) == 1
        assert not waiting.done()
        await first.aclose()
        await waiting
    await opened.close()


@pytest.mark.parametrize("end", ["rows", "cancelled", "lost"])
async def test_stream_that_searches_has_the_place_of_a_search_until_its_first_rows(
    store: PostgresStore, postgres_url: str, end: str
) -> None:
    sql = "SELECT pg_advisory_xact_lock(7)::text || CAST(:customer_id AS text)"
    options = {"search": "customer_id"}
    store._statements["slow"] = prepare("slow", sql, "postgres", options)
    async with aclosing(store.stream("slow", {"customer_id": "cus_1"}, 1)) as slices:
        async with direct.holding(postgres_url, "SELECT pg_advisory_xact_lock(7)"):
            first = asyncio.ensure_future(anext(slices))
            while store.usage().searches == 0:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
            if end == "cancelled":
                first.cancel()
            elif end == "lost":
                await direct.query(postgres_url, END_ALL)
        error = {"cancelled": asyncio.CancelledError, "lost": ServiceUnavailable}.get(end)
        with pytest.raises(error) if error else nullcontext():
            assert len(await first) == 1
        assert store.usage() == (0, 0, int(error is None), 0, 0)
    assert store.usage() == (0, 0, 0, 0, 0)


async def test_close_does_not_wait_for_open_streams(hasty: PostgresStore) -> None:
    slices = hasty.stream("customer_list", ALL, 1)
    await anext(slices)
    await hasty.close()
    with pytest.raises(ServiceUnavailable):
        await anext(slices)


@pytest.mark.parametrize("code", ["40001", "40P01"])
async def test_write_is_tried_three_times_after_serialization_failures(
    store: PostgresStore, code: str
) -> None:
    teach(store, "refused", fail_with(code))
    attempts: list[str] = []
    with pytest.raises(ServiceUnavailable, match="nothing was written"):
        await store.write(run("refused", attempts))
    assert len(attempts) == 3


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("XX001", ReadFailed),  # data_corrupted
        ("XX002", ReadFailed),  # index_corrupted
        ("53100", ServiceUnavailable),  # disk_full
        ("57014", ServiceUnavailable),  # query_canceled, as by statement_timeout
        ("58030", ServiceUnavailable),  # io_error
    ],
)
async def test_server_failures_have_their_own_errors(
    store: PostgresStore, code: str, error: type[Exception]
) -> None:
    teach(store, "broken", fail_with(code))
    with pytest.raises(error):
        await store.fetch("broken", {})
    with pytest.raises(error):
        await store.write(run("broken"))
    assert await store.write(add("cus_2")) == 1


async def test_read_only_server_refuses_writes(store: PostgresStore, postgres_url: str) -> None:
    (name,) = (await direct.query(postgres_url, "SELECT current_database()"))[0]
    await direct.query(
        postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on"
    )
    reader = await connect.open_store(postgres_url)
    with pytest.raises(ServiceUnavailable, match="nothing was written"):
        await reader.write(add("cus_2"))
    with pytest.raises(ServiceUnavailable):
        await reader.migrate([Migration(99, "CREATE TABLE t (a text)")])
    assert await ids_in(reader) == ["cus_1"]
    await reader.close()


def interrupt_commit(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, *, committed: bool
) -> None:
    """Lose the connection at the next commit, before or after the server has committed."""
    plain = DriverTransaction.commit

    async def lose(self: DriverTransaction) -> None:
        monkeypatch.setattr(DriverTransaction, "commit", plain)
        if committed:
            await plain(self)
        self._connection.terminate()
        raise error

    monkeypatch.setattr(DriverTransaction, "commit", lose)


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.StatementCompletionUnknownError("who knows"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_lost_commit_raises_outcome_unknown(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, error: Exception, *, committed: bool
) -> None:
    interrupt_commit(monkeypatch, error, committed=committed)
    with pytest.raises(OutcomeUnknown, match="read, or send it again with its clientToken"):
        await store.write(add("cus_2"))
    assert ("cus_2" in await ids_in(store)) == committed
    assert await store.write(add("cus_3")) == 1


async def test_lost_commit_stays_unknown_if_release_fails(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_commit(monkeypatch, TimeoutError(), committed=True)
    plain, released = Pool.release, []

    async def fail(self: Pool, *arguments: Any, **options: Any) -> None:
        await plain(self, *arguments, **options)
        released.append(self)
        raise TimeoutError

    monkeypatch.setattr(Pool, "release", fail)
    with pytest.raises(OutcomeUnknown):
        await store.write(add("cus_2"))
    assert len(released) == 1
    assert await ids_in(store) == ["cus_1", "cus_2"]


async def test_connection_lost_before_commit_leaves_nothing(
    store: PostgresStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = DriverTransaction.commit

    async def commit_too_late(self: DriverTransaction) -> None:
        monkeypatch.setattr(DriverTransaction, "commit", plain)
        await direct.query(postgres_url, END_ALL)
        await plain(self)

    monkeypatch.setattr(DriverTransaction, "commit", commit_too_late)
    with pytest.raises(OutcomeUnknown):
        await store.write(add("cus_2"))
    assert await ids_in(store) == ["cus_1"]


async def test_refused_commit_is_repeated(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_commit(monkeypatch, asyncpg.SerializationError("again"), committed=False)
    assert await store.write(add("cus_2")) == 1
    assert await ids_in(store) == ["cus_1", "cus_2"]
