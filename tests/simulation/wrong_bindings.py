"""Wrong implementations of bindings, put in on purpose: the tests must find each of them."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import pytest
from msgspec.structs import replace
from tests.bindings import actions
from tests.conftest import ENGINES

from openpns.bindings.group_guard import BoundGroupGuard
from openpns.core.context import Context
from openpns.routing import service as routing
from openpns.routing.service import Found
from openpns.storage import statements
from openpns.storage.statements import Engine, NamedStatement
from openpns.storage.store import Transaction

CACHED_S: Final = 1.0

Changes = dict[str, tuple[str, str]]
"""For each statement a text in it, and what replaces that."""

PutIn = Callable[[pytest.MonkeyPatch], None]

_AT_ITS_END = ("live_until_ms > ", "live_until_ms >= ")


def change_statements(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the statements of stores that are opened from now on."""
    right = statements.load_statements

    def load(engine: Engine) -> dict[str, NamedStatement]:
        loaded = right(engine)
        for name, (text, wrong) in changes.items():
            sql = loaded[name].sql
            assert text in sql, f"{name} has no {text!r}"
            loaded[name] = replace(loaded[name], sql=sql.replace(text, wrong))
        return loaded

    for engine in ENGINES:
        monkeypatch.setattr(f"openpns.storage.{engine}.store.load_statements", load)


class _NoGuard(BoundGroupGuard):
    def check_phones(self, *_: Any) -> Transaction[None]:
        return
        yield


def _without_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "GUARD", _NoGuard())


def _with_cached_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    right = routing.find
    cached: dict[Sequence[str], tuple[float, Found]] = {}

    async def find(context: Context, caller: str, did: str, now_ms: int) -> Found:
        question = (str(id(context.store)), caller, did)
        read_s, found = cached.get(question, (-CACHED_S, None))
        if found is None or time.monotonic() - read_s > CACHED_S:
            found = await right(context, caller, did, now_ms)
            cached[question] = time.monotonic(), found
        return found

    monkeypatch.setattr(routing, "find", find)


def _calling_virtual_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing.Match, "calls_own", False)


WRONG: Final[dict[str, PutIn]] = {
    "a bind does not look at the members of bound groups": partial(
        change_statements,
        {
            **dict.fromkeys(
                ("number_choose", "number_choose:take"),
                ("b.group_seq = m.group_seq", "b.group_seq = m.group_seq AND 1 = 0"),
            ),
            "binding_conflict_find": ("b.group_seq = m.group_seq", "1 = 0"),
        },
    ),
    "updateGroup does not look at bindings": _without_guard,
    "a question is answered from a cache": _with_cached_questions,
    "an unbind leaves the seat live": partial(
        change_statements, {"seat_end": ("SET live_until_ms = 0,", "SET")}
    ),
    "a bind takes a seat that is live": partial(
        change_statements,
        {
            **dict.fromkeys(
                ("number_choose", "number_choose:take"),
                ("FROM seat AS s\n    WHERE", "FROM seat AS s\n    WHERE 1 = 0 AND"),
            ),
            "seat_take": ("WHEN seat.live_until_ms <=", "WHEN 1 = 1 OR seat.live_until_ms <="),
        },
    ),
}
"""What concurrent requests must show, and requests one after the other, too."""

WRONG_IN_ORDER: Final[dict[str, PutIn]] = {
    "a question connects at the end of a binding": partial(
        change_statements, {"call_find": _AT_ITS_END, "call_find_digits": _AT_ITS_END}
    ),
    "a list shows a binding at its end": partial(change_statements, {"binding_list": _AT_ITS_END}),
    "a change of a group respects a binding at its end": partial(
        change_statements, {"binding_group_taken_find": _AT_ITS_END}
    ),
    "a call reaches a virtual number": _calling_virtual_numbers,
}
"""What only the model's steps show: a clock at the end of a binding, a phone that becomes an X."""

WITHOUT_LOCKS: Final[PutIn] = partial(
    change_statements,
    {
        "binding_order_lock": ("FOR UPDATE", ""),
        "customer_state_lock": ("FOR UPDATE", ""),
    },
)
"""Writes of bindings of a customer do not wait for each other; on PostgreSQL only."""
