"""Citus without Citus: every table has a place, and every statement of a request one customer."""

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pglast
import pytest
from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType

from openpns.storage import migrations
from openpns.storage.migrations import Applied
from openpns.storage.postgres import distribution, schema
from openpns.storage.statements import NamedStatement, load_statements, prepare

ALL = [Applied(one.number, one.step) for one in migrations.load_migrations("postgres")]

# Statements of a server that are of several customers, and why each may ask every node. Those of an
# operator's command and of a check are not named here.
SEVERAL = {
    # The parts of the customers of these keys are asked.
    "key_find": "the customers are known",
    # Rows of several customers are written together, each to its node; nobody waits for it.
    "routing_sequence_take": "stores traces, in the background",
    "call_trace_drop": "stores traces, in the background",
    "usage_find_deliveries": "stores traces, in the background",
    "audit_unsealed_list": "seals the audit trail, in the background",
    "audit_unsealed_count": "seals the audit trail, in the background",
    "audit_unsealed_delete": "seals the audit trail, in the background",
    "audit_head_find": "seals the audit trail, in the background",
    "audit_backlog_list": "seals the audit trail, in the background",
    "delivery_due_customers": "looks for events to deliver, in the background",
    "delivery_backlog": "a metric",
    "binding_customer_list_expired": "ends bindings that ran out, in the background",
    "call_trace_clean": "deletes old rows, in the background",
    "delivery_clean": "deletes old rows, in the background",
    "delivery_give_up": "deletes old rows, in the background",
    "digit_guard_clean": "deletes old rows, in the background",
    "ended_binding_clean": "deletes old rows, in the background",
    "call_record_clean": "deletes old rows, in the background",
    "group_tombstone_clean": "deletes old rows, in the background",
    "idempotency_record_clean": "deletes old rows, in the background",
    "seat_clean": "deletes old rows, in the background",
}


def tables() -> set[str]:
    """Return the tables that all migrations make."""
    return {key.table for key in schema.expected_objects(ALL)} | {"schema_migration"}


def test_every_table_has_one_place() -> None:
    named = [*distribution.REFERENCE, *distribution.COORDINATOR, *distribution.DISTRIBUTED]
    assert sorted(named) == sorted(tables())


def test_unique_keys_of_distributed_tables_contain_the_customer() -> None:
    unique = [
        (key.table, key.name)
        for key in schema.expected_objects(ALL)
        if key.kind == "index" and key.name.startswith("unique")
        if key.table in distribution.DISTRIBUTED
    ]
    assert len(unique) > 20
    assert [one for one in unique if distribution.COLUMN not in one[1]] == []


def test_every_statement_of_a_request_asks_one_node() -> None:
    reasons = _reasons()
    for statement in load_statements("citus").values():
        if statement.until_migration is not None:
            continue
        name = statement.name.partition(":")[0]
        why = reasons.get(name, "")
        if name in SEVERAL or re.match("the (operator|check)|after a restore", why):
            continue
        assert [*unpinned(statement)] == [], statement.name
    assert set(SEVERAL) <= set(load_statements("citus"))


WRONG = """
SELECT * FROM seat
SELECT * FROM seat WHERE did = :did OR customer_id = :customer_id
SELECT * FROM seat WHERE customer_id = :did
SELECT 1 FROM seat AS s JOIN binding AS b ON b.did = s.did WHERE s.customer_id = :customer_id
SELECT 1 FROM customer AS c, seat AS s WHERE s.customer_id = c.customer_id
SELECT (SELECT 1 FROM seat AS s WHERE s.customer_id = b.customer_id) FROM customer AS b
WITH x AS (SELECT did FROM seat) SELECT * FROM binding WHERE customer_id = :customer_id
UPDATE seat SET did = :did WHERE phone = :phone
DELETE FROM seat AS s USING binding AS b WHERE b.customer_id = :customer_id
INSERT INTO call_audio (customer_id, did) VALUES (:did, :did)
INSERT INTO call_audio (customer_id, did) SELECT n.customer_id, n.did FROM virtual_number AS n
"""

RIGHT = """
SELECT * FROM virtual_number WHERE did = :did
SELECT * FROM seat WHERE did = :did AND customer_id = CAST(:customer_id AS text)
SELECT 1 FROM seat a, seat b WHERE a.customer_id = :customer_id AND b.customer_id = a.customer_id
WITH x AS (SELECT did FROM seat WHERE customer_id = :customer_id) SELECT * FROM x
INSERT INTO call_audio (customer_id, did) VALUES (:customer_id, :did)
"""


@pytest.mark.parametrize("sql", WRONG.strip().splitlines())
def test_unpinned_finds_a_statement_that_asks_every_node(sql: str) -> None:
    assert [*unpinned(prepare("wrong", sql, "postgres"))] != []


@pytest.mark.parametrize("sql", RIGHT.strip().splitlines())
def test_unpinned_accepts_a_statement_of_one_customer(sql: str) -> None:
    assert [*unpinned(prepare("right", sql, "postgres"))] == []


def test_statements_of_citus_replace_others_or_are_named_by_one() -> None:
    plain, citus = load_statements("postgres"), load_statements("citus")
    named = {one.owner_of for one in citus.values()} - {None}
    assert set(citus) - set(plain) == named != set()
    assert set(plain) <= set(citus)
    for name, one in plain.items():
        assert set(citus[name].parameters) <= {*one.parameters, "customer_ids"}, name


def _reasons() -> dict[str, str]:
    """Return why a statement is of several customers, by its name."""
    found = {}
    for package in resources.files("openpns").iterdir():
        for file in package.iterdir() if package.is_dir() else ():
            if file.name.endswith(".sql") and file.is_file():
                for block in re.split(r"^-- (?=[a-z_0-9]+$)", file.read_text("utf-8"), flags=re.M):
                    reason = re.search(r"^-- cross-customer: (.*)", block, re.MULTILINE)
                    if reason is not None:
                        found[block.partition("\n")[0]] = reason[1]
    return found


def unpinned(statement: NamedStatement) -> Iterator[str]:
    """Return the uses of distributed tables that are not of the parameter `customer_id`.

    Each must be compared with it in its own part of the statement, or with the customer of another
    distributed table there. What Citus finds out beyond that (by the customer of a reference table,
    or of an outer query), it finds out not always.
    """
    for part in _parts(pglast.parse_sql(statement.sql)[0].stmt):
        used = {alias: table for alias, table in _tables_of(part) if _is_distributed(table)}
        pinned, equal = set[str](), list[tuple[str, str]]()
        for left, right in _equalities(part):
            columns = [_customer_of(side, used) for side in (left, right)]
            for column, other in zip(columns, (right, left), strict=True):
                if column is not None and _is_customer(other, statement):
                    pinned.add(column)
            if columns[0] is not None and columns[1] is not None:
                equal.append((columns[0], columns[1]))
        if isinstance(part, ast.InsertStmt):
            pinned |= set(_inserted(part, statement))
        for _ in equal:
            for one, other in equal:
                if {one, other} & pinned:
                    pinned |= {one, other}
        yield from sorted(set(used) - pinned)


def _is_distributed(table: str) -> bool:
    return table in distribution.DISTRIBUTED


def _nodes(value: Any) -> Iterator[Any]:
    """Return the nodes directly below one, or in a tuple."""
    if isinstance(value, tuple):
        for one in value:
            yield from _nodes(one)
    elif isinstance(value, ast.Node):
        yield value


def _children(node: ast.Node) -> Iterator[ast.Node]:
    for name in node.__slots__ if not isinstance(node.__slots__, dict) else node.__slots__.keys():
        yield from _nodes(getattr(node, name, None))


_PARTS = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt)


def _parts(node: ast.Node) -> Iterator[ast.Node]:
    """Return every SELECT, INSERT, UPDATE and DELETE of a statement."""
    if isinstance(node, _PARTS):
        yield node
    for child in _children(node):
        yield from _parts(child)


def _within(node: ast.Node) -> Iterator[ast.Node]:
    """Return a node and those below it that are not in another part."""
    yield node
    for child in _children(node):
        if not isinstance(child, _PARTS):
            yield from _within(child)


def _tables_of(part: ast.Node) -> Iterator[tuple[str, str]]:
    """Return the alias and the name of each table that a part uses itself."""
    for node in _within(part):
        if isinstance(node, ast.RangeVar):
            yield node.alias.aliasname if node.alias else node.relname, node.relname


def _equalities(part: ast.Node) -> Iterator[tuple[Any, Any]]:
    """Return both sides of the comparisons that must all be true in a part."""
    conditions = [getattr(part, "whereClause", None)]
    conditions += [node.quals for node in _within(part) if isinstance(node, ast.JoinExpr)]
    while conditions:
        one = conditions.pop()
        if isinstance(one, ast.BoolExpr) and one.boolop == BoolExprType.AND_EXPR:
            conditions += one.args
        elif isinstance(one, ast.A_Expr) and one.kind == A_Expr_Kind.AEXPR_OP:
            is_equality = one.name[-1].sval == "="
            yield from [(one.lexpr, one.rexpr)] if is_equality else []


def _customer_of(side: Any, used: dict[str, str]) -> str | None:
    """Return the alias of the distributed table whose customer a column is."""
    if not isinstance(side, ast.ColumnRef) or side.fields[-1].sval != distribution.COLUMN:
        return None
    if len(side.fields) == 1:
        return next(iter(used)) if len(used) == 1 else None
    alias = side.fields[-2].sval
    return alias if alias in used else None


def _is_customer(side: Any, statement: NamedStatement) -> bool:
    while isinstance(side, ast.TypeCast):
        side = side.arg
    return (
        isinstance(side, ast.ParamRef)
        and statement.parameters[side.number - 1] == distribution.COLUMN
    )


def _inserted(part: ast.InsertStmt, statement: NamedStatement) -> Iterator[str]:
    """Return the alias of the table if each new row is of the customer."""
    target, chosen = part.relation, part.selectStmt
    names = [column.name for column in part.cols]
    if distribution.COLUMN not in names:
        return
    place = names.index(distribution.COLUMN)
    values = [row[place] for row in chosen.valuesLists or ()] or [chosen.targetList[place].val]
    # A column is the customer of a table whose use is looked at by itself.
    others = {alias for alias, table in _tables_of(chosen) if _is_distributed(table)}
    has_inner = any(isinstance(node, ast.RangeSubselect) for node in _within(chosen))
    if all(_is_customer(value, statement) for value in values) or (
        isinstance(values[0], ast.ColumnRef)
        and values[0].fields[-1].sval == distribution.COLUMN
        and (has_inner or others)
    ):
        yield target.alias.aliasname if target.alias else target.relname
