import re
from pathlib import Path

import pytest
from tests import direct

from openpns.errors import ConfigError
from openpns.storage import connect, migrations
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
def test_the_url_tells_the_engine(url: str, engine: str) -> None:
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
async def test_another_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^database: not a URL .* allowed are sqlite:///"
    ) as caught:
        await connect.open_store(url)
    assert "secret" not in str(caught.value)


async def test_an_sqlite_file_is_made_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    url = f"sqlite:///{path}"
    with pytest.raises(ConfigError, match="does not exist; make it with: openpns migrate"):
        await connect.open_store(url)
    assert not path.exists()
    store = await connect.open_store(url, create=True)
    assert await store.schema_version() == 0
    await store.close()
    assert path.exists()


async def test_a_current_database_is_accepted(store: Store, database_url: str) -> None:
    await connect.check_current(store, database_url)
    engine = connect.engine_of(database_url)
    assert await store.schema_version() == migrations.newest(engine)


async def test_an_empty_database_is_refused_with_the_command_to_run(database_url: str) -> None:
    store = await connect.open_store(database_url, create=True)
    with pytest.raises(ConfigError, match=r"stand at 0, .* run: openpns migrate --database URL"):
        await connect.check_current(store, database_url)
    await store.close()


async def test_a_newer_database_is_refused_and_left_alone(store: Store, database_url: str) -> None:
    newer = {
        "sqlite": "PRAGMA user_version = 9999",
        "postgres": "INSERT INTO schema_migration VALUES (9999)",
    }
    await direct.query(database_url, newer[connect.engine_of(database_url)])
    with pytest.raises(ConfigError, match=re.escape("stand at 9999, this version knows")):
        await connect.check_current(store, database_url)
    assert await connect.migrate(store, database_url) == []
    assert await store.schema_version() == 9999
