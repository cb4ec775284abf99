"""The triggers of a copy's source in PostgreSQL: they note changes, and later refuse writes."""

from collections.abc import Iterator
from functools import cache
from typing import Final

from openpns.storage.copying import CAPTURE, LOG_TABLE, REFUSE, REFUSED, STATE_TABLE, TABLES, Table

FIND_TRIGGERS: Final = f"""
SELECT tgname, tgrelid::regclass FROM pg_trigger
WHERE tgrelid = ANY (CAST($1 AS regclass[])) AND NOT tgisinternal
AND (starts_with(tgname::text, '{CAPTURE}') OR starts_with(tgname::text, '{REFUSE}'))
"""

_KIND: Final = 'type 29 enabled function plpgsql trigger security definer {"search_path='
"""How the comparison of schemas shows them: after each insert, update and delete of a row."""


def install_sql(schema: str) -> Iterator[str]:
    """Return the statements that note the key of each row that changes.

    Args:
        schema: The schema of openpns's tables, quoted if it must be.
    """
    yield (
        f"CREATE TABLE {STATE_TABLE} (only_row bigint NOT NULL PRIMARY KEY CHECK (only_row = 1), "
        "copy_id text NOT NULL, origin text NOT NULL, round text NOT NULL)"
    )
    yield (
        f"CREATE TABLE {LOG_TABLE} (place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "table_name text NOT NULL, key text NOT NULL)"
    )
    for table in TABLES:
        name = f"{CAPTURE}{table.name}"
        # The role of a server has no right on the log.
        yield (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
            f"SET search_path = pg_catalog, {schema}, pg_temp AS $${_body(table)}$$"
        )
        yield f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC"
        yield (
            f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {table.name} "
            f"FOR EACH ROW EXECUTE FUNCTION {name}()"
        )


def refuse_sql() -> Iterator[str]:
    """Return the statements that make every write fail, as on a server that is read-only."""
    yield (
        f"CREATE FUNCTION {REFUSE}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{REFUSED}' USING ERRCODE = 'read_only_sql_transaction'; END $$"
    )
    for table in TABLES:
        yield (
            f"CREATE TRIGGER {REFUSE} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE "
            f"ON {table.name} FOR EACH STATEMENT EXECUTE FUNCTION {REFUSE}()"
        )


def remove_sql() -> Iterator[str]:
    """Return the statements that remove tables and functions, once their triggers are gone."""
    for table in TABLES:
        yield f"DROP FUNCTION IF EXISTS {CAPTURE}{table.name}()"
    yield f"DROP FUNCTION IF EXISTS {REFUSE}()"
    yield f"DROP TABLE IF EXISTS {STATE_TABLE}, {LOG_TABLE}"


def is_capture(table: str, name: str, definition: str) -> bool:
    """Return whether a trigger, as schemas are compared, is one that notes changes."""
    body = _shown_bodies().get(table)
    return (
        body is not None
        and name == f"{CAPTURE}{table}"
        and definition.startswith(_KIND)
        and definition.partition('"} ')[2] == body
    )


@cache
def _shown_bodies() -> dict[str, str]:
    return {table.name: " ".join(_body(table).split()) for table in TABLES}


def _body(table: Table) -> str:
    old, new = (
        f"json_build_array({', '.join(f'{row}.{column}' for column in table.key)})::text"
        for row in ("OLD", "NEW")
    )
    note = f"INSERT INTO {LOG_TABLE} (table_name, key) VALUES ('{table.name}', "
    return f"""
BEGIN
    IF TG_OP = 'DELETE' THEN
        {note}{old});
    ELSE
        IF TG_OP = 'UPDATE' AND {old} <> {new} THEN
            {note}{old});
        END IF;
        {note}{new});
    END IF;
    RETURN NULL;
END
"""
