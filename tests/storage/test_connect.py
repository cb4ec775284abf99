import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openpns.errors import ConfigError
from openpns.storage import connect, migrations
from openpns.storage.migrations import Migration
from openpns.storage.store import Store


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("sqlite:///relative.db", "sqlite"),
        ("sqlite:////absolute.db", "sqlite"),
        ("postgresql://user:secret@host/name", "postgres"),
        ("postgres://host/name", "postgres"),
    ],
)
def test_engine_of_reads_the_scheme(url: str, engine: str) -> None:
    assert connect.engine_of(url) == engine


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://user:secret@host/name",
        "sqlite://relative.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a.db?secret",
        "secret.db",
    ],
)
async def test_open_store_refuses_unknown_url_without_repeating_it(url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^database: not a URL .* allowed are sqlite:///"
    ) as caught:
        await connect.open_store(url)
    assert "secret" not in str(caught.value)


async def test_open_store_creates_sqlite_file_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    url = f"sqlite:///{path}"
    with pytest.raises(ConfigError, match="does not exist; make it with: openpns migrate"):
        await connect.open_store(url)
    assert not path.exists()
    store = await connect.open_store(url, create=True)
    assert await store.applied_migrations() == []
    await store.close()
    assert path.exists()


async def test_check_current_accepts_a_migrated_database(store: Store, database_url: str) -> None:
    await connect.check_current(store, database_url)


async def test_check_current_refuses_an_empty_database_and_names_the_command(
    database_url: str,
) -> None:
    store = await connect.open_store(database_url, create=True)
    with pytest.raises(ConfigError, match=r"lacks migration 1, .* run: openpns migrate --database"):
        await connect.check_current(store, database_url)
    await store.close()


async def test_check_current_accepts_newer_pre_steps(store: Store, database_url: str) -> None:
    newer = Migration(9999, "CREATE TABLE extra (a text)", "pre")
    await store.migrate([newer])
    await connect.check_current(store, database_url)
    assert await connect.migrate(store, database_url) == []


@pytest.mark.parametrize("step", ["post", "stop"])
async def test_check_current_refuses_newer_steps_but_pre(
    store: Store, database_url: str, step: Any
) -> None:
    await store.migrate([Migration(9999, "CREATE TABLE extra (a text)", step)], with_post=True)
    with pytest.raises(ConfigError, match="has migration 9999, which this version does not know"):
        await connect.check_current(store, database_url)
    assert await connect.migrate(store, database_url) == []


async def test_check_current_accepts_missing_post_steps_but_no_missing_pre(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.load_migrations(connect.engine_of(database_url))
    pair = [Migration(9999, "", "pre"), Migration(9999, "", "post")]
    monkeypatch.setattr(migrations, "load_migrations", lambda _: [*known, pair[1]])
    await connect.check_current(store, database_url)
    monkeypatch.setattr(migrations, "load_migrations", lambda _: [*known, *pair])
    with pytest.raises(ConfigError, match="lacks migration 9999 pre; run: openpns migrate"):
        await connect.check_current(store, database_url)


@pytest.mark.parametrize(
    ("module", "driver"),
    [("postgres.store", "apsw"), ("sqlite.store", "asyncpg"), ("connect", "apsw")],
)
def test_importing_an_engine_does_not_load_the_other_driver(module: str, driver: str) -> None:
    code = f"import sys, openpns.storage.{module}; print({driver!r} in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
