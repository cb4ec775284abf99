"""Open the two databases of a copy, and make sure that one can be copied to the other."""

import secrets as random
from collections.abc import AsyncIterator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from openpns.clock import Clock
from openpns.errors import ConfigError
from openpns.storage import connect, migrations
from openpns.storage.copying import TABLES, Endpoint, State
from openpns.storage.migrations import MARKS, Applied
from openpns.storage.store import database_path, database_url

FROM = "--from"
TO = "--to"

BEGIN_AGAIN = "end the copy with openpns copy --cancel, and begin again with an empty target"


class Ends(msgspec.Struct, frozen=True):
    """The databases of a copy that has begun.

    Attributes:
        is_moved: Whether the source takes no writes any more.
        round: The round that the source is in; empty if it was stopped.
    """

    source: Endpoint
    target: Endpoint
    copy_id: str
    is_moved: bool
    round: str = ""


@asynccontextmanager
async def opened(
    source_url: str, target_url: str, clock: Clock, *, is_stopped: bool = False
) -> AsyncIterator[Ends]:
    """Begin a copy, or go on with one.

    Args:
        is_stopped: No server uses the source: keep all away from it, instead of noting changes.

    Raises:
        ConfigError: The source cannot be copied, or not to this target.
    """
    with _naming(FROM):
        source_steps = await _checked_steps(source_url)
    with _naming(TO):
        target_steps = await _checked_steps(target_url, is_target=True)
    _compare_steps(source_steps, target_steps)
    source = await open_endpoint(source_url, FROM)
    try:
        target = await open_endpoint(target_url, TO)
        try:
            yield await _begin(source, target, clock, is_stopped=is_stopped)
        finally:
            await target.close()
    finally:
        await source.close()


async def cancel(source_url: str) -> str:
    """Remove what a copy has added to its source; return what its role was."""
    with _naming(FROM):
        await _checked_steps(source_url)
    source = await open_endpoint(source_url, FROM)
    try:
        await source.lock()
        state = await source.state()
        if state.role == "copying":
            raise ConfigError(f"{FROM}: is the target of a copy; --cancel is for its source")
        if state.role != "none":
            await source.cancel()
        return state.role
    finally:
        await source.close()


async def forget_copy(file: Path) -> None:
    """Remove what a copy has added to an SQLite file that is to be restored.

    Its notes end with the backup: a copy that went on with them would miss changes.
    """
    source = await open_endpoint(database_url(file), FROM)
    try:
        if (await source.state()).role == "capturing":
            await source.cancel()
    finally:
        await source.close()


async def _checked_steps(url: str, *, is_target: bool = False) -> AbstractSet[tuple[int, str]]:
    """Return the migrations of a database that this version can work with.

    Args:
        is_target: Migrate an empty database; create a missing SQLite file.
    """
    with connect.explained_refusals():
        store = await connect.open_store(url, create=is_target)
        try:
            applied = await store.applied_migrations()
            if is_target and not applied:
                await connect.migrate(store, url)
                applied = await store.applied_migrations()
            own = [one for one in applied if one.step not in MARKS]
            if len(own) == len(applied):
                await connect.check_current(store, url)
                await connect.check_schema(store, url)
            else:
                _check_known(url, own)
            return {(one.number, one.step) for one in own}
        finally:
            await store.close()


def _check_known(url: str, own: list[Applied]) -> None:
    known = {one.key for one in migrations.load_migrations(connect.engine_of(url))}
    other = [one for one in own if (one.number, one.step) not in known]
    if other:
        raise ConfigError(
            f"database: has migration {other[-1].number}, which this version does not know; use "
            "the version that began the copy"
        )


def _compare_steps(
    source: AbstractSet[tuple[int, str]], target: AbstractSet[tuple[int, str]]
) -> None:
    """Make sure that both databases have the same migrations."""
    for option, other, missing in ((FROM, TO, target - source), (TO, FROM, source - target)):
        if missing:
            names = ", ".join(f"{number} {step}" for number, step in sorted(missing))
            post = " --post" if any(step == "post" for _, step in missing) else ""
            raise ConfigError(
                f"{option}: lacks migration {names}, which {other} has; run: openpns migrate{post} "
                "--database URL"
            )


async def check_steps(source: Endpoint, target: Endpoint) -> None:
    """Make sure that the source has not been migrated since the copy began.

    Raises:
        ConfigError: It has: columns that are new would be lost.
    """
    if await source.steps() != await target.steps():
        raise ConfigError(f"{FROM}: was migrated since the copy began; {BEGIN_AGAIN}")


async def _begin(source: Endpoint, target: Endpoint, clock: Clock, *, is_stopped: bool) -> Ends:
    source_origin, target_origin = await source.origin(), await target.origin()
    if source_origin == target_origin:
        raise ConfigError(f"{FROM}, {TO}: are the same database")
    await source.lock()
    await target.lock()
    have, there = await source.state(), await target.state()
    expected = State("copying", have.copy_id, target_origin, there.rounds)
    if have.copy_id and there == expected:
        if have.role == "capturing" and have.origin != source_origin:
            raise ConfigError(f"{FROM}: was restored or replaced since it began; {BEGIN_AGAIN}")
        if not {*have.rounds} <= {*there.rounds}:
            raise ConfigError(f"{FROM}, {TO}: one was restored since it began; {BEGIN_AGAIN}")
        return Ends(source, target, have.copy_id, have.role == "moved", "".join(have.rounds))
    _refuse_states(have, there)
    await _require_empty(target)
    if have.role == "capturing":  # another target may have its number, and be continued
        await source.cancel()
    copy_id = random.token_hex(8)
    # The source first: a target whose source notes no changes could not be continued.
    if is_stopped:
        await source.stop(copy_id, clock())
    else:
        await source.capture(copy_id)
    await target.begin(copy_id)
    return Ends(source, target, copy_id, is_stopped, "" if is_stopped else copy_id)


def _refuse_states(have: State, there: State) -> None:
    """Make sure that a copy may begin."""
    if have.role == "copying":
        raise ConfigError(f"{FROM}: a copy into it is not complete; it can be no source")
    if there.role in ("capturing", "moved"):
        raise ConfigError(f"{TO}: is the source of another copy; {BEGIN_AGAIN}")
    if there.role == "copying" and there.copy_id == have.copy_id:
        raise ConfigError(f"{TO}: was restored or replaced since it began; {BEGIN_AGAIN}")
    if have.role == "moved":
        raise ConfigError(
            f"{FROM}: was copied already, and takes no writes; to let servers write to it again: "
            "openpns copy --cancel"
        )
    if there.role == "copying":
        raise ConfigError(f"{TO}: belongs to another copy; {BEGIN_AGAIN}")


async def _require_empty(target: Endpoint) -> None:
    filled = []
    for table in TABLES:
        target.use_columns(table.name, await target.columns(table.name))
        if await target.page(table, None, 1):
            filled.append(table.name)
    if filled:
        raise ConfigError(
            f"{TO}: is not empty: there are rows in {', '.join(filled)}; allowed is a new database"
        )


async def open_endpoint(url: str, option: str) -> Endpoint:
    """Open one of the databases of a copy; its tables are there.

    Args:
        option: What error texts call it.
    """
    path = database_path(url)
    if path is not None:
        from openpns.storage.sqlite.copying import SQLiteEndpoint  # noqa: PLC0415

        return SQLiteEndpoint(path, option)
    from openpns.storage.postgres.copying import PostgresEndpoint  # noqa: PLC0415

    return await PostgresEndpoint.open(url, option)


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Let errors name the option instead of `database`."""
    try:
        yield
    except ConfigError as error:
        text = str(error).removeprefix("database: ")
        raise ConfigError(f"{option}: {text}") from error
