from pathlib import Path

from tests import direct

from openpns.kit.casefold import fold_name
from openpns.storage import connect, migrations, name_keys

NAMES = ["Straße", "ÉCLAIR", "plain", "", "Ω"]


async def test_names_that_were_there_are_folded_by_the_migration(database_url: str) -> None:
    store = await connect.open_store(database_url, create=True)
    scripts = migrations.load_migrations(connect.engine_of(database_url))
    await store.migrate([script for script in scripts if script[0] < name_keys.SINCE])
    for place, name in enumerate(NAMES):
        await direct.run(
            database_url,
            f"INSERT INTO number_group VALUES ('cus_1', '{place:032x}', {place}, '{name}', '', 0, "
            "0, 0, 0, '')",
        )
    assert name_keys.SINCE in await store.migrate(scripts)
    rows = await direct.query(
        database_url, "SELECT group_name, folded_name FROM number_group ORDER BY group_seq"
    )
    assert rows == [(name, fold_name(name)) for name in NAMES]
    await store.close()


def test_the_migration_that_brings_the_column_is_the_one_that_is_named() -> None:
    (path,) = Path(migrations.__file__).parent.glob(f"{name_keys.SINCE:04}_*.postgres.sql")
    assert "ADD COLUMN folded_name" in path.read_text("utf-8")
