"""What is promised of binds, calls and changes of bound groups at the same time; see `history`.

Nothing runs out here: the state has no time.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple


class Bound(NamedTuple):
    """A live binding; a group has its id as B."""

    bind_id: str
    did: str
    a: str
    b: str
    is_of_group: bool = False


class State(NamedTuple):
    """A customer's data; the order in which bindings were made is left out."""

    dids: tuple[str, ...]
    bindings: frozenset[Bound] = frozenset()
    groups: frozenset[tuple[str, frozenset[str]]] = frozenset()
    disabled: frozenset[str] = frozenset()

    def phones(self, binding: Bound) -> frozenset[str]:
        """Return the phones that a binding names in any role."""
        members = dict(self.groups)[binding.b] if binding.is_of_group else {binding.b}
        return frozenset({binding.a}) | members

    def is_free(self, new: Bound) -> bool:
        """Return whether a binding can be made on its virtual number."""
        wanted = self.phones(new)
        return new.did not in self.disabled and not any(
            other.did == new.did and (other.b == new.b or wanted & self.phones(other))
            for other in self.bindings
        )

    def callee(self, caller: str, did: str) -> str:
        """Return who is called; empty for nobody."""
        if did in self.disabled:
            return ""
        on_number = [binding for binding in self.bindings if binding.did == did]
        for binding in on_number:
            if not binding.is_of_group and caller in (binding.a, binding.b):
                return binding.b if caller == binding.a else binding.a
        for binding in on_number:
            if caller != binding.a and caller in self.phones(binding):
                return binding.a
        return ""


@dataclass(frozen=True)
class Bind:
    """A binding was made."""

    made: Bound
    writes: ClassVar = True

    def step(self, state: State) -> State | None:
        if not state.is_free(self.made):
            return None
        return state._replace(bindings=state.bindings | {self.made})


@dataclass(frozen=True)
class Exhausted:
    """A bind was refused, because no virtual number is free for it."""

    wanted: Bound
    writes: ClassVar = False

    def step(self, state: State) -> State | None:
        is_free = any(state.is_free(self.wanted._replace(did=did)) for did in state.dids)
        return None if is_free else state


@dataclass(frozen=True)
class Unbind:
    """A binding was ended, or there was none with this id."""

    bind_id: str
    is_found: bool
    writes: ClassVar = True

    def step(self, state: State) -> State | None:
        left = frozenset(b for b in state.bindings if b.bind_id != self.bind_id)
        return state._replace(bindings=left) if (left != state.bindings) == self.is_found else None


@dataclass(frozen=True)
class ChangeGroup:
    """A phone was added to a group or deleted, or was refused because of another binding."""

    group_id: str
    phone: str
    is_add: bool
    is_refused: bool
    writes: ClassVar = True

    def step(self, state: State) -> State | None:
        groups = dict(state.groups)
        there = groups[self.group_id]
        groups[self.group_id] = there | {self.phone} if self.is_add else there - {self.phone}
        after = state._replace(groups=frozenset(groups.items()))
        if self.is_add and self.phone not in there and self._clashes(state) != self.is_refused:
            return None
        if self.is_refused:
            return state if self.is_add and self.phone not in there else None
        return after

    def _clashes(self, state: State) -> bool:
        bound = {b.did for b in state.bindings if b.b == self.group_id}
        return any(
            other.did in bound and other.b != self.group_id and self.phone in state.phones(other)
            for other in state.bindings
        )


@dataclass(frozen=True)
class Disable:
    """The operator disabled a virtual number, or made it active."""

    did: str
    is_disabled: bool
    writes: ClassVar = True

    def step(self, state: State) -> State:
        change = state.disabled.union if self.is_disabled else state.disabled.difference
        return state._replace(disabled=change({self.did}))


@dataclass(frozen=True)
class Call:
    """A caller was connected, or to nobody."""

    caller: str
    did: str
    callee: str
    writes: ClassVar = False

    def step(self, state: State) -> State | None:
        return state if state.callee(self.caller, self.did) == self.callee else None


@dataclass(frozen=True)
class Listed:
    """All bindings were listed."""

    bind_ids: frozenset[str]
    total: int
    writes: ClassVar = False

    def step(self, state: State) -> State | None:
        ids = frozenset(binding.bind_id for binding in state.bindings)
        return state if (ids, len(ids)) == (self.bind_ids, self.total) else None
