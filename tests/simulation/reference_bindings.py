"""What binds, unbinds, calls and the operator do to a customer's data: docs/api as plain Python.

Nothing here comes from the server: no struct, no statement, no bound. Bindings are never deleted,
and time is compared whenever something is asked, so nothing depends on when a server tidies.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

DAY_MS: Final = 24 * 3_600_000
NEVER_MS: Final = 1 << 62

BY_GROUP: Final = "axg"


class Refused(Exception):
    """A request gets this code and changes nothing."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Number:
    """A virtual number."""

    country: str
    state: str = "active"


@dataclass
class Binding:
    """A binding; `end_ms` is its expiry, or when it was ended if that came first."""

    kind: str
    did: str
    a: str
    b: str
    end_ms: int
    expire_at: int
    made_ms: int
    digits: str = ""
    group_id: str = ""
    own_id: str = ""
    flag: int = 0
    body: tuple[object, ...] = ()
    bind_id: str = ""

    @property
    def seats(self) -> set[str]:
        """The phones that it names as A or B; for digits, these."""
        return {"axb": {self.a, self.b}, BY_GROUP: {self.a}}.get(self.kind, {f"#{self.digits}"})


@dataclass
class Wanted:
    """A request that binds, well formed; empty texts are missing fields."""

    kind: str
    a: str
    b: str = ""
    expire: int = 0
    did: str = ""
    digits: str = ""
    group_id: str = ""
    own_id: str = ""
    flag: int = 0

    @property
    def body(self) -> tuple[object, ...]:
        return (
            self.kind, self.a, self.b, self.expire, self.did, self.digits, self.group_id, self.flag,
        )  # fmt: skip


@dataclass
class World:
    """A customer's virtual numbers, groups and bindings."""

    room: int
    """How many live bindings a virtual number takes."""
    clock: Callable[[], int]
    numbers: dict[str, Number] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    unswept: set[str] = field(default_factory=set)
    """The bindIds of bindings that a server may still count."""
    left_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    """When an update took a phone off a virtual number."""
    is_held: bool = False

    def live(self, did: str = "") -> list[Binding]:
        """Return the live bindings, oldest first."""
        now_ms = self.clock()
        return [b for b in self.bindings if now_ms < b.end_ms and did in ("", b.did)]

    def names(self, binding: Binding) -> set[str]:
        """Return the phones that a binding names in any role, or its digits."""
        return binding.seats | set(self.groups.get(binding.group_id, ()))

    def choose(self, wanted: Wanted) -> Binding | set[str]:
        """Return the virtual numbers that a bind may take, or the earlier binding of its own id.

        Raises:
            Refused: The bind is refused.
        """
        for earlier in self.live():
            if wanted.own_id and earlier.own_id == wanted.own_id:
                if earlier.body != wanted.body:
                    raise Refused(19009)
                return earlier
        country = self._check_phones(wanted)
        if wanted.group_id:
            members = self._members(wanted.group_id)
            if not all(phone.startswith(country) for phone in members):
                raise Refused(10004)
            if wanted.b and wanted.b not in members:
                raise Refused(1002)
        return {wanted.did} if self._fits_given(wanted) else self._choose_any(wanted, country)

    def _check_phones(self, wanted: Wanted) -> str:
        """Check A, B and X; return the country of the binding."""
        phones = [phone for phone in (wanted.a, wanted.b) if phone]
        given = self.numbers.get(wanted.did)
        if wanted.did and (given is None or given.state == "disabled"):
            raise Refused(10008)
        if any(phone in self.numbers for phone in phones):
            raise Refused(1002)
        country = given.country if given else country_of(wanted.a)
        if not all(phone.startswith(country) for phone in phones):
            raise Refused(10004)
        if not given and not any(
            number.country == country and number.state != "disabled"
            for number in self.numbers.values()
        ):
            raise Refused(10008)
        return country

    def _fits_given(self, wanted: Wanted) -> bool:
        if not wanted.did:
            return False
        if not self._has_room(wanted.did):
            raise Refused(10010)
        if not self._is_free(wanted, wanted.did):
            raise Refused(19008)
        return True

    def _choose_any(self, wanted: Wanted, country: str) -> set[str]:
        free = [
            did
            for did, number in self.numbers.items()
            if number.country == country and self._has_room(did) and self._is_free(wanted, did)
        ]
        if not free:
            raise Refused(10010)
        cool = [did for did in free if not self._was_named_lately(wanted, did)]
        chosen = self._with_fewest(cool)
        # Those that ran out may be counted until they are swept, so that a number seems full.
        return chosen if self._sure(cool) else chosen | self._with_fewest(free)

    def _with_fewest(self, dids: Sequence[str]) -> set[str]:
        """Return those that may have the fewest bindings."""
        fewest = min((self._counts(did)[1] for did in self._sure(dids)), default=self.room)
        return {did for did in dids if self._counts(did)[0] <= fewest}

    def _sure(self, dids: Sequence[str]) -> list[str]:
        """Return those that have room, however many bindings are counted."""
        return [did for did in dids if self._counts(did)[1] < self.room]

    def _counts(self, did: str) -> tuple[int, int]:
        """Return how many bindings a virtual number has at least, and at most."""
        live = self.live(did)
        extra = [b for b in self.bindings if b.did == did and b.bind_id in self.unswept]
        return len(live), len(live) + len([b for b in extra if b not in live])

    def _members(self, group_id: str) -> tuple[str, ...]:
        if group_id not in self.groups:
            raise Refused(19001)
        return self.groups[group_id]

    def _has_room(self, did: str) -> bool:
        return self.numbers[did].state == "active" and len(self.live(did)) < self.room

    def _is_free(self, wanted: Wanted, did: str) -> bool:
        new = self.binding(wanted, did)
        return not any(self._do_clash(new, other) for other in self.live(did))

    def _do_clash(self, new: Binding, other: Binding) -> bool:
        is_same_group = new.group_id != "" and new.group_id == other.group_id
        return is_same_group or not self.names(new).isdisjoint(self.names(other))

    def _was_named_lately(self, wanted: Wanted, did: str) -> bool:
        since_ms = self.clock() - DAY_MS
        seats = self.binding(wanted, did).seats
        return any(
            b.did == did and b.end_ms > since_ms and not b.seats.isdisjoint(seats)
            for b in self.bindings
        ) or any(self.left_ms.get((did, seat), 0) > since_ms for seat in seats)

    def binding(self, wanted: Wanted, did: str) -> Binding:
        """Return what a bind makes on a virtual number."""
        end_ms = end_of(self.clock(), wanted.expire)
        return Binding(
            wanted.kind, did, wanted.a, wanted.b, end_ms, expire_at(end_ms), self.clock(),
            wanted.digits, wanted.group_id, wanted.own_id, wanted.flag, wanted.body,
        )  # fmt: skip

    def bind(self, wanted: Wanted, did: str, bind_id: str) -> None:
        """Store a binding with the id and virtual number that the server gave it."""
        made = self.binding(wanted, did)
        made.bind_id = bind_id
        self.bindings.append(made)
        self.unswept.add(bind_id)

    def find(self, bind_id: str, own_id: str) -> Binding:
        """Return the live binding that has all ids that are given."""
        for binding in self.live():
            if bind_id in ("", binding.bind_id) and own_id in ("", binding.own_id):
                return binding
        raise Refused(10013)

    def end(self, binding: Binding) -> None:
        """End a binding now."""
        binding.end_ms = min(binding.end_ms, self.clock())
        self.unswept.discard(binding.bind_id)

    def remove_number(self, did: str) -> None:
        """Remove a virtual number whose bindings ended; those that ran out are swept with it."""
        del self.numbers[did]
        self.unswept -= {binding.bind_id for binding in self.bindings if binding.did == did}

    def update(
        self, binding: Binding, expire: int | None, phone_b: str | None, flag: int | None
    ) -> None:
        """Change the end, B or the flag of a live binding."""
        if phone_b is not None and phone_b != binding.b:
            self._check_phone_b(binding, phone_b)
            if binding.kind == "axb":
                self.left_ms[binding.did, binding.b] = self.clock()
            binding.b = phone_b
        if expire is not None:
            binding.end_ms = end_of(self.clock(), expire)
            binding.expire_at = expire_at(binding.end_ms)
        binding.flag = binding.flag if flag is None else flag

    def _check_phone_b(self, binding: Binding, phone_b: str) -> None:
        if not phone_b:
            if binding.kind == "axb":
                raise Refused(10001)
            return
        if phone_b == binding.a:
            raise Refused(10002)
        if phone_b in self.numbers:
            raise Refused(1002)
        if not phone_b.startswith(self.numbers[binding.did].country):
            raise Refused(10004)
        if binding.kind == BY_GROUP and phone_b not in self.groups[binding.group_id]:
            raise Refused(1002)
        others = [other for other in self.live(binding.did) if other is not binding]
        if binding.kind == "axb" and any(phone_b in self.names(other) for other in others):
            raise Refused(19008)

    def change_group(self, group_id: str, operation: int, given: Sequence[str]) -> None:
        """Add phones to a group, delete some, or replace all."""
        there = self._members(group_id)
        if operation == 1:
            self.groups[group_id] = tuple(phone for phone in there if phone not in given)
            return
        after = tuple(dict.fromkeys([*there, *given] if operation == 0 else given))
        new = [phone for phone in after if phone not in there]
        bound = [b for b in self.live() if b.group_id == group_id]
        if any(not p.startswith(self.numbers[b.did].country) for b in bound for p in new):
            raise Refused(10004)
        others = [o for b in bound for o in self.live(b.did) if o.group_id != group_id]
        if any(phone in self.names(other) for other in others for phone in new):
            raise Refused(19008)
        self.groups[group_id] = after

    def delete_group(self, group_id: str) -> None:
        """Delete a group that no live binding uses."""
        self._members(group_id)
        if any(binding.group_id == group_id for binding in self.live()):
            raise Refused(19010)
        del self.groups[group_id]

    def call(self, caller: str, did: str, digits: str = "") -> str:
        """Return who is called: empty for nobody, "digits" if these are needed first."""
        named = self._named(caller, did, digits)
        # A phone of a binding may become a virtual number later; those are never called.
        return "" if named in self.numbers else named

    def _named(self, caller: str, did: str, digits: str) -> str:
        number = self.numbers.get(did)
        if number is None or number.state == "disabled" or self.is_held:
            return ""
        spelled = [caller, number.country + caller.lstrip("0")] if caller.lstrip("0") else [caller]
        if digits:
            held = [b for b in self.live(did) if b.digits == digits]
            return (held[0].b if held[0].a in spelled else held[0].a) if held else ""
        matched = [(b, p) for b in self.live(did) for p in spelled if self._is_named(b, p)]
        assert len(matched) <= len(spelled), "a phone has two bindings on a virtual number"
        if not matched:
            return "digits" if any(b.digits for b in self.live(did)) else ""
        return self._callee(*matched[0]) if len(matched) == 1 else ""

    def _is_named(self, binding: Binding, phone: str) -> bool:
        return not binding.digits and phone in self.names(binding)

    def _callee(self, binding: Binding, caller: str) -> str:
        if caller != binding.a:
            return binding.a
        is_reached = binding.kind == "axb" or binding.b in self.groups[binding.group_id]
        return binding.b if is_reached else ""

    def boundaries(self) -> Iterator[int]:
        """Yield the times at which live bindings run out."""
        yield from (binding.end_ms for binding in self.live() if binding.end_ms < NEVER_MS)


def end_of(now_ms: int, expire: int) -> int:
    """Return the end of a binding that is made now."""
    return (-(-now_ms // 1000) + expire) * 1000 if expire else NEVER_MS


def expire_at(end_ms: int) -> int:
    """Return an end as getAXBList shows it."""
    return 0 if end_ms == NEVER_MS else end_ms // 1000


def country_of(phone: str) -> str:
    """Return the country code of a phone of these tests."""
    return "852" if phone.startswith("852") else "86"
