"""What the stateful test of bindings draws: steps of `binding_machine`, most of which collide."""

from typing import Any

from hypothesis import strategies as st
from tests.simulation.binding_machine import DIGITS, PHONES

_WORKER = st.integers(0, 1)
_PHONE = st.sampled_from([*PHONES, *PHONES[:4]])
_MEMBERS = st.lists(st.sampled_from([*PHONES, *PHONES[:4]]), min_size=1, max_size=3)
_NUMBER = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
_GROUP = st.integers(0, 2)
_EXPIRE = st.sampled_from([0, 1, 2, 2, 5])
_OWN_ID = st.sampled_from(["", "", "", "order 1", "order 2"])
_BACK = st.integers(0, 5)
_TO = ("end", "end", "before the end", "a little", "later", "a day")
_STATES = ("active", "active", "draining", "disabled")

_ARGUMENTS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "nothing": (1, {}),  # the first, so that a sequence that fails shrinks to a few steps
    "bind": (4, {"a": _PHONE, "b": _PHONE, "expire": _EXPIRE, "own_id": _OWN_ID}),
    "bind_digits": (
        2,
        {
            "a": _PHONE,
            "b": st.none() | _PHONE,
            "number": _NUMBER,
            "digits": st.sampled_from(DIGITS),
            "expire": _EXPIRE,
            "own_id": _OWN_ID,
        },
    ),
    "bind_group": (
        4,
        {
            "a": _PHONE,
            "b": st.none() | _PHONE,
            "group": _GROUP,
            "number": st.none() | _NUMBER,
            "expire": _EXPIRE,
            "own_id": _OWN_ID,
        },
    ),
    "bind_a_virtual_number": (1, {"number": _NUMBER, "other": _PHONE}),
    "make_b_virtual": (1, {"number": _NUMBER, "other": _PHONE}),
    "unbind": (3, {"back": _BACK, "by": st.sampled_from(["id", "id", "own id", "both", "other"])}),
    "update": (
        3,
        {
            "back": _BACK,
            "expire": st.none() | _EXPIRE,
            "b": st.sampled_from([None, None, "", *PHONES]),
            "flag": st.sampled_from([None, 0, 1]),
        },
    ),
    "create_group": (1, {"members": _MEMBERS}),
    "change_group": (4, {"group": _GROUP, "operation": st.integers(0, 2), "phones": _MEMBERS}),
    "add_at_the_end": (1, {"number": _NUMBER, "phones": st.permutations(PHONES[:4])}),
    "delete_group": (1, {"group": _GROUP}),
    "move_time": (4, {"to": st.sampled_from(_TO)}),
    "sweep": (1, {}),
    "set_state": (1, {"number": _NUMBER, "state": st.sampled_from(_STATES)}),
    "remove_number": (1, {"number": _NUMBER, "is_forced": st.booleans()}),
    "give_number_to_nobody": (1, {"number": _NUMBER}),
    "hold": (1, {"is_held": st.sampled_from([False, False, True])}),
    "call": (2, {"phone": _PHONE, "number": _NUMBER, "is_short": st.booleans()}),
}
"""For each step how often it is drawn, and its arguments."""

_WITHOUT_WORKER = {
    "nothing",
    "move_time",
    "set_state",
    "remove_number",
    "give_number_to_nobody",
    "hold",
}


def _step(name: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    arguments = _ARGUMENTS[name][1]
    if name not in _WITHOUT_WORKER:
        arguments = {"worker": _WORKER} | arguments
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


_NAMES = [name for name, (often, _) in _ARGUMENTS.items() for _ in range(often)]


def steps(count: int) -> st.SearchStrategy[list[tuple[str, dict[str, Any]]]]:
    """Draw so many steps."""
    return st.lists(st.sampled_from(_NAMES).flatmap(_step), min_size=count, max_size=count)
