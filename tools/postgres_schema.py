"""Record the objects that each migration step makes on PostgreSQL, for `openpns verify`.

    python -m tools.postgres_schema

Writes src/openpns/storage/postgres/schema.txt. It starts a PostgreSQL server of its own;
OPENPNS_TEST_POSTGRES names another one.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

import asyncpg
from tests.databases import RunFolder, create_postgres_database, shared_server

from openpns.storage import connect, migrations
from openpns.storage.postgres import schema

FILE: Final = Path(__file__).parents[1] / "src/openpns/storage/postgres/schema.txt"

_TABLES: Final = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


async def record(url: str) -> str:
    """Return the text of the file, made in an empty database."""
    steps = migrations.load_migrations("postgres")
    store = await connect.open_store(url)
    connection = await asyncpg.connect(url)
    made = []
    for place, step in enumerate(steps, start=1):
        await store.migrate(steps[:place], with_post=True)
        tables = [row[0] for row in await connection.fetch(_TABLES)]
        objects = await schema.read_objects(connection, tables)
        made.append((step, {one.key: one.definition for one in objects}))
    await connection.close()
    await store.close()
    return schema.to_text(made)


async def _record_in_new_database(server: str) -> str:
    return await record(await create_postgres_database(server))


def main() -> None:
    """Write the file."""
    folder = RunFolder()
    try:
        server = os.environ.get("OPENPNS_TEST_POSTGRES") or shared_server(folder.path)
        FILE.write_text(asyncio.run(_record_in_new_database(server)), "utf-8")
    finally:
        folder.remove()


if __name__ == "__main__":
    main()
