"""Random changes of a schema, each of which can change what a statement of openpns does."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

Change = tuple[str, str]
"""The kind of a change, and its SQL."""


class Schema(msgspec.Struct):
    """The objects that the migrations make.

    Attributes:
        columns: The columns of each table.
        triggers: The names of the triggers of each table.
        indexes: Those that are no constraint.
        constraints: On PostgreSQL, those of each table.
    """

    columns: Mapping[str, Sequence[str]]
    triggers: Mapping[str, Sequence[str]]
    indexes: Sequence[str]
    constraints: Mapping[str, Sequence[str]] = {}


class Drift:
    """Makes random changes for both engines."""

    def __init__(self, schema: Schema, chance: random.Random) -> None:
        self.schema = schema
        self.chance = chance

    def change(self) -> Change:
        """Return a change; the database may refuse it."""
        kinds: dict[str, Callable[[], str]] = {
            name: getattr(self, name) for name in dir(self) if name.startswith(("add_", "alter_"))
        }
        kind = self.chance.choice(sorted(kinds))
        return kind, kinds[kind]()

    def name(self) -> str:
        """Return a new name, odd ones among them."""
        name = "".join(self.chance.choices("ab_ é\u202e'-;", k=self.chance.randrange(1, 9)))
        return f'"x{name}"'

    def table(self, of: Mapping[str, Any] | None = None) -> str:
        return self.chance.choice(sorted(self.schema.columns if of is None else of))

    def column(self, table: str) -> str:
        return self.chance.choice(list(self.schema.columns[table]))

    def event(self) -> str:
        return self.chance.choice(["INSERT", "UPDATE", "DELETE"])

    def add_index(self) -> str:
        table = self.table()
        column = self.column(table)
        unique = self.chance.choice(["", "UNIQUE "])
        of = self.chance.choice([self.indexed(column), f"coalesce({column}, {column})"])
        where = self.chance.choice(["", f" WHERE {column} IS NOT NULL"])
        return f"CREATE {unique}INDEX {self.name()} ON {table} ({of}){where}"

    def indexed(self, column: str) -> str:
        """Return what an index of a column alone has."""
        return column

    def add_column(self) -> str:
        default = self.chance.choice(["", " DEFAULT 'a'"])
        return f"ALTER TABLE {self.table()} ADD COLUMN {self.name()} text{default}"

    def alter_column_name(self) -> str:
        table = self.table()
        return f"ALTER TABLE {table} RENAME COLUMN {self.column(table)} TO {self.name()}"

    def alter_table_name(self) -> str:
        table = self.table()
        return self.chance.choice(
            [
                f"ALTER TABLE {table} RENAME TO {self.name()}",
                f"ALTER TABLE {table} RENAME TO old; CREATE VIEW {table} AS SELECT * FROM old",
            ]
        )

    def alter_drop(self) -> str:
        table = self.table()
        return self.chance.choice(
            [
                f"DROP INDEX {self.chance.choice(list(self.schema.indexes))}",
                f"ALTER TABLE {table} DROP COLUMN {self.column(table)}",
                f"DROP TABLE {table}",
            ]
        )


class SQLiteDrift(Drift):
    """Changes of SQLite."""

    def add_trigger(self) -> str:
        when = self.chance.choice(["BEFORE", "AFTER"])
        only = self.chance.choice(["", "WHEN 1 "])
        return (
            f"CREATE TRIGGER {self.name()} {when} {self.event()} ON {self.table()} {only}"
            "BEGIN SELECT 1; END"
        )

    def alter_trigger(self) -> str:
        table = self.table(self.schema.triggers)
        return f"DROP TRIGGER {self.chance.choice(list(self.schema.triggers[table]))}"

    def add_table(self) -> str:
        table = self.table()
        reference = self.chance.choice(["", f" REFERENCES {table} ON DELETE CASCADE"])
        return self.chance.choice(
            [
                f"CREATE TABLE {self.name()} (a TEXT{reference})",
                f"CREATE VIEW {self.name()} AS SELECT * FROM {table}",
            ]
        )

    def add_reserved(self) -> str:
        """Write an object with a name that SQLite keeps for its own tables."""
        name = "sqlite_" + self.chance.choice(
            ["stat1", "stat3", "stat4", "sequence", "autoindex_1"],
        )
        table = self.table()
        kind, of, sql = self.chance.choice(
            [
                ("table", name, f"TABLE {name}(tbl,idx,stat,more)"),
                ("table", name, f"TABLE {name}(a REFERENCES {table} ON DELETE CASCADE)"),
                ("view", name, f"VIEW {name} AS SELECT * FROM {table}"),
                ("index", table, f"INDEX {name} ON {table}({self.column(table)})"),
                ("trigger", table, f"TRIGGER {name} {self.event()} ON {table} BEGIN SELECT 1; END"),
            ]
        )
        # One page of another object will do; nothing is read from it.
        page = f"(SELECT rootpage FROM sqlite_schema WHERE name = '{table}')"
        page = page if kind in ("table", "index") else "0"
        return (
            "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema "
            f"VALUES ('{kind}', '{name}', '{of}', {page}, 'CREATE {sql}'); "
            "PRAGMA writable_schema = RESET"
        )

    def alter_definition(self) -> str:
        """Replace a word in the text of a definition."""
        table = self.table()
        objects = [table, *self.schema.triggers.get(table, ()), *self.schema.indexes]
        name = self.chance.choice(objects)
        old, new = self.chance.choice(
            [(" OLD.", " NEW."), ("BEFORE", "AFTER"), ("=", "<"), (">=", ">"), ("NOT NULL", ""),
             ("ABORT", "IGNORE"), ("TEXT", "ANY"), ("STRICT", ""), ("PRIMARY KEY", "UNIQUE")]
        )  # fmt: skip
        return (
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema "
            f"SET sql = replace(sql, '{old}', '{new}') "
            f"WHERE name = '{name}' AND instr(sql, '{old}'); PRAGMA writable_schema = RESET"
        )


class PostgresDrift(Drift):
    """Changes of PostgreSQL."""

    def indexed(self, column: str) -> str:
        # An index of the column alone may be there already: a second one changes nothing.
        return f"{column}, {column}"

    def add_trigger(self) -> str:
        when = self.chance.choice(["BEFORE", "AFTER"])
        return (
            f"CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
            f"CREATE TRIGGER {self.name()} {when} {self.event()} ON {self.table()} "
            f"{self.chance.choice(['FOR EACH ROW ', ''])}EXECUTE FUNCTION own()"
        )

    def alter_trigger(self) -> str:
        table = self.table(self.schema.triggers)
        trigger = self.chance.choice(list(self.schema.triggers[table]))
        return self.chance.choice(
            [
                f"DROP TRIGGER {trigger} ON {table}",
                f"ALTER TABLE {table} DISABLE TRIGGER {trigger}",
                f"ALTER TABLE {table} ENABLE REPLICA TRIGGER {trigger}",
                f"ALTER TRIGGER {trigger} ON {table} RENAME TO {self.name()}",
                f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            ]
        )

    def alter_function(self) -> str:
        name = "audit_entry_refuse_delete"
        function = f"FUNCTION {name}() RETURNS trigger"
        return self.chance.choice(
            [
                f"CREATE OR REPLACE {function} LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
                f"ALTER FUNCTION {name}() SECURITY DEFINER",
                f"ALTER FUNCTION {name}() SET search_path = pg_temp",
                f"CREATE ROLE drifting; ALTER FUNCTION {name}() OWNER TO drifting",
            ]
        )

    def alter_owner(self) -> str:
        return f"CREATE ROLE drifting; ALTER TABLE {self.table()} OWNER TO drifting"

    def alter_table(self) -> str:
        table = self.table()
        return self.chance.choice(
            [
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                f"CREATE POLICY p ON {table} USING (true)",
                f"CREATE RULE r AS ON {self.event()} TO {table} DO INSTEAD NOTHING",
                f"CREATE TABLE child () INHERITS ({table})",
                f"CREATE TABLE parent (); ALTER TABLE {table} INHERIT parent",
                f"CREATE SCHEMA other; ALTER TABLE {table} SET SCHEMA other",
                f"ALTER TABLE {table} SET UNLOGGED",
            ]
        )

    def alter_column(self) -> str:
        table = self.table()
        column = self.column(table)
        what = self.chance.choice(
            ["SET DEFAULT NULL", "DROP NOT NULL", "SET NOT NULL", "TYPE text", "DROP DEFAULT",
             "SET DEFAULT '1'", "TYPE numeric", "DROP IDENTITY"]
        )  # fmt: skip
        return f"ALTER TABLE {table} ALTER COLUMN {column} {what}"

    def alter_constraint(self) -> str:
        table = self.table(self.schema.constraints)
        constraint = self.chance.choice(list(self.schema.constraints[table]))
        return self.chance.choice(
            [
                f"ALTER TABLE {table} DROP CONSTRAINT {constraint}",
                f"ALTER TABLE {table} ADD CHECK ({self.column(table)} IS NOT NULL)",
                "CREATE TABLE other (a text REFERENCES customer ON DELETE CASCADE)",
            ]
        )
