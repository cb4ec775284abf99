"""What openpns promises, one request after the other; and words for what a history did instead."""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from tests.simulation.history import Operation, Violation, check

from openpns.groups.wire import ADD, REPLACE
from openpns.limits import GROUPS_IN_PAGE_MAX

Groups = tuple[tuple[str, str], ...]
"""A customer's groups, oldest first: groupId, and the numbers as listGroup joins them."""

SIGNATURE_WRONG = 1003
NOT_PERMITTED = 1005


@dataclass(frozen=True)
class Create:
    """A group was created."""

    group_id: str
    phones: str
    writes: ClassVar = True

    def step(self, groups: Groups) -> Groups:
        return (*groups, (self.group_id, self.phones))


@dataclass(frozen=True)
class Update:
    """A group's numbers were changed."""

    group_id: str
    operate_type: int
    phones: str
    writes: ClassVar = True

    def step(self, groups: Groups) -> Groups | None:
        if self.group_id not in dict(groups):
            return None
        return tuple(
            (group_id, self._change(phones)) if group_id == self.group_id else (group_id, phones)
            for group_id, phones in groups
        )

    def _change(self, phones: str) -> str:
        if self.operate_type == REPLACE:
            return self.phones
        there, given = phones.split(",") if phones else [], self.phones.split(",")
        if self.operate_type == ADD:
            return ",".join(dict.fromkeys([*there, *given]))
        return ",".join(number for number in there if number not in given)


@dataclass(frozen=True)
class Delete:
    """A group was deleted."""

    group_id: str
    writes: ClassVar = True

    def step(self, groups: Groups) -> Groups | None:
        left = tuple(group for group in groups if group[0] != self.group_id)
        return left if len(left) < len(groups) else None


@dataclass(frozen=True)
class NotFound:
    """A change or a deletion was refused: there is no such group."""

    group_id: str
    writes: ClassVar = False

    def step(self, groups: Groups) -> Groups | None:
        return None if self.group_id in dict(groups) else groups


@dataclass(frozen=True)
class Page:
    """A page was listed."""

    limit: int
    offset: int
    total: int
    rows: Groups
    writes: ClassVar = False

    def step(self, groups: Groups) -> Groups | None:
        fits = self.total == len(groups) and self.rows == self.window(groups)
        return groups if fits else None

    def window(self, groups: Groups) -> Groups:
        return groups[self.offset :][: self.limit or GROUPS_IN_PAGE_MAX]


class Access(NamedTuple):
    """What decides whether a key's requests are accepted; a secret is named by its number."""

    secret: int = 0
    is_disabled: bool = False
    is_customer_disabled: bool = False

    def code(self, secret: int) -> int:
        """The code that a request signed with a secret gets before its action is read."""
        if self.is_disabled:
            return NOT_PERMITTED
        if secret != self.secret:
            return SIGNATURE_WRONG
        return NOT_PERMITTED if self.is_customer_disabled else 0


@dataclass(frozen=True)
class SetAccess:
    """The operator disabled or enabled a key or a customer, or gave the key a new secret."""

    field: str
    value: int
    writes: ClassVar = True

    def step(self, access: Access) -> Access:
        return access._replace(**{self.field: self.value})


@dataclass(frozen=True)
class Signed:
    """A request was signed with a secret; its code was 1003, 1005, or 0 if it was accepted."""

    secret: int
    code: int
    writes: ClassVar = False

    def step(self, access: Access) -> Access | None:
        return access if access.code(self.secret) == self.code else None


def find_violation(operations: list[Operation], initial: Groups | Access) -> str | None:
    """Check what a history holds of one object; returns what is wrong in words, or None."""
    violation = check(operations, initial)
    if violation is None:
        return None
    zero = min(operation.start for operation in operations)
    act = violation.operation.act
    if isinstance(act, Page):
        why = _explain_page(act, violation, zero)
    elif isinstance(act, Signed):
        why = _explain_signed(act, violation)
    else:
        why = "the response fits no state that the groups can have had"
    could = "\n".join(f"  {_state(state)}" for state in violation.possible[:5])
    return f"{why}\n{_told(violation.operation, zero)}\npossible were:\n{could}"


def _explain_page(page: Page, violation: Violation, zero: int) -> str:
    read = violation.operation
    shown, known = (
        {group_id for rows in states for group_id, _ in rows}
        for states in ([page.rows], violation.possible)
    )
    gone = shown - known
    were = {group_id for state, _ in violation.past for group_id, _ in state}
    if gone - were:
        return "a group that nobody had created"
    if gone:
        return f"a deleted group is shown again: {', '.join(sorted(gone))}"
    older = [write for state, write in violation.past if page.step(state) is not None]
    if older and older[-1].end < read.start:
        what = "a stale read: it misses a write that was acknowledged before it began"
    elif older:
        what = "two reads disagree: this one misses a write that an earlier one showed"
    elif any(page.rows == page.window(state) for state in violation.possible):
        return "a total that does not fit the rows"
    else:
        return "a lost write, or two moments on one page: no order of the writes gives it"
    return f"{what}\n{_told(older[-1], zero)}"


def _explain_signed(request: Signed, violation: Violation) -> str:
    codes = sorted({access.code(request.secret) for access in violation.possible})
    if request.code == 0:
        what = "a key that was disabled" if NOT_PERMITTED in codes else "a secret that was replaced"
        return f"accepted with {what}"
    return f"refused with {request.code}, possible were only {codes}"


def _told(operation: Operation, zero: int) -> str:
    start, end = ((moment - zero) / 1e6 for moment in (operation.start, operation.end))
    act = operation.act
    if isinstance(act, Page):
        act = replace(act, rows=_cut_groups(act.rows))
    elif isinstance(act, Create | Update):
        act = replace(act, phones=_cut(act.phones))
    return f"  {start:.3f} to {end:.3f} ms: {act}"


def _state(state: Groups | Access) -> Groups | Access:
    return state if isinstance(state, Access) else _cut_groups(state)


def _cut_groups(groups: Groups) -> Groups:
    return tuple((group_id, _cut(phones)) for group_id, phones in groups)


def _cut(phones: str) -> str:
    return phones if len(phones) < 60 else f"{phones[:24]}…{phones[-24:]}"
