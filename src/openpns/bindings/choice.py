"""Which virtual number a binding takes: the given one, or the one with the fewest bindings."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.bindings.rows import NEVER_MS, digits_seat
from openpns.bindings.wire import AXG, EXTENSION
from openpns.core.context import Services
from openpns.errors import (
    BindingConflict,
    CountryMismatch,
    NoVirtualNumber,
    ParameterUnfit,
    PoolExhausted,
)
from openpns.numbers.wire import ACTIVE, DISABLED
from openpns.phones import find_country_code
from openpns.storage.store import Row, Statement, Transaction, as_struct

COOL_MS: Final = limits.DAY_MS
"""A virtual number on which a phone was bound is taken last for so long: an old entry in a list of
calls must not reach a stranger."""

CHOOSING: Final = {
    "": {"held": "", "blocked": "", "take": "", "taken": ""},
    "take": {
        "held": "",
        "blocked": "",
        "take": """UPDATE number_load SET binding_count = binding_count + 1
WHERE customer_id = :customer_id AND did = (SELECT chosen.did FROM (
""",
        "taken": """
) AS chosen)
RETURNING did, business_id""",
    },
    "group": {
        "held": """held AS MATERIALIZED (
    SELECT DISTINCT s.did FROM group_member AS m
    JOIN seat AS s ON s.customer_id = m.customer_id AND s.phone = m.phone
    WHERE m.customer_id = :customer_id AND m.group_seq = CAST(:group_seq AS bigint)
        AND s.live_until_ms > :now_ms
), rival AS MATERIALIZED (
    SELECT DISTINCT o.group_seq FROM group_member AS m
    JOIN group_member AS o ON o.customer_id = m.customer_id AND o.phone = m.phone
    WHERE m.customer_id = :customer_id AND m.group_seq = CAST(:group_seq AS bigint)
), """,
        "blocked": """
    UNION ALL
    SELECT did FROM held
    UNION ALL
    SELECT b.did FROM rival AS r CROSS JOIN binding AS b
    WHERE b.customer_id = :customer_id AND b.group_seq = r.group_seq AND b.live_until_ms > :now_ms
    UNION ALL
    SELECT b.did FROM binding AS b
    WHERE b.customer_id = :customer_id AND b.group_seq = CAST(:group_seq AS bigint)
        AND b.live_until_ms > :now_ms""",
        "take": "",
        "taken": "",
    },
}
"""Variants of the choice: `take` counts the binding on the virtual number at once, so that binds
which share a transaction choose in one round trip, each with what those before it have taken.

What blocks a virtual number for a group: seats of its phones, groups that hold one of them too
(`rival`, each once: it may be bound on all virtual numbers), and the group itself."""

NO_GROUP: Final = -1
NO_BINDING: Final = -1


class Wanted(msgspec.Struct, frozen=True):
    """What a binding needs of a virtual number.

    Attributes:
        did: The given virtual number; empty to choose one.
        group_seq: The bound group; NO_GROUP for none.
        binding_seq: The binding that is changed; NO_BINDING for a new one.
        is_import: It lives elsewhere already. Since then a phone may have become a virtual number
            of the customer, and phoneB may have left the group.
    """

    customer_id: str
    kind: str
    phone_a: str
    phone_b: str
    did: str
    extension: str
    business_id: str | None
    now_ms: int
    group_seq: int = NO_GROUP
    binding_seq: int = NO_BINDING
    is_import: bool = False

    def __repr__(self) -> str:  # without the phones
        return f"Wanted({self.kind!r})"

    def params(self) -> dict[str, Any]:
        """Return the parameters of the statements that look for conflicts."""
        is_extension = self.kind == EXTENSION
        seat_a = digits_seat(self.extension) if is_extension else self.phone_a
        # The second phone of a group is one of its members, and holds no seat of its own.
        seat_b = self.phone_b if self.kind not in (EXTENSION, AXG) else seat_a
        return {
            "customer_id": self.customer_id,
            "phone_a": seat_a,
            "phone_b": seat_b,
            "group_seq": self.group_seq,
            "binding_seq": self.binding_seq,
            "now_ms": self.now_ms,
        }


class GivenNumber(msgspec.Struct, frozen=True):
    """The virtual number that a request names: a row of binding_number_find."""

    did: str
    state: str
    business_id: str
    country: str
    bindings: int
    extensions: int


class Chosen(msgspec.Struct, frozen=True):
    """A virtual number that can take a binding, and its business.

    Attributes:
        is_counted: Whether its count of bindings holds this one already.
    """

    did: str
    business_id: str
    is_counted: bool = False


def find_numbers(wanted: Wanted) -> Statement:
    """Return the statement whose rows `check_numbers` takes."""
    return Statement(
        "binding_number_find",
        {
            "customer_id": wanted.customer_id,
            "phone_a": wanted.phone_a,
            "phone_b": wanted.phone_b,
            "did": wanted.did,
        },
    )


def check_numbers(wanted: Wanted, rows: Sequence[Row]) -> GivenNumber | None:
    """Check the phones against the customer's virtual numbers; return the given one.

    Raises:
        NoVirtualNumber: The given virtual number is not the customer's, or disabled.
        ParameterUnfit: A phone is a virtual number of the customer.
        CountryMismatch: A phone has not the country code of the given virtual number.
    """
    found = {row[0]: as_struct(GivenNumber, row) for row in rows}
    given = found.get(wanted.did) if wanted.did else None
    if wanted.did and (given is None or given.state == DISABLED):
        raise NoVirtualNumber("phoneX is not one of your virtual numbers, or it is disabled")
    for field, phone in (("phoneA", wanted.phone_a), ("phoneB", wanted.phone_b)):
        if phone in found and not wanted.is_import:
            raise ParameterUnfit(f"{field} must not be one of your own virtual numbers")
    if given is not None:
        for field, phone in (("phoneA", wanted.phone_a), ("phoneB", wanted.phone_b)):
            if phone and not phone.startswith(given.country):
                raise CountryMismatch(
                    f"{field} must begin with the country code of phoneX, {given.country}"
                )
    return given


def check_countries(wanted: Wanted) -> str:
    """Return the country code of both phones.

    Raises:
        CountryMismatch: They have different ones.
    """
    country = find_country_code(wanted.phone_a)
    if wanted.phone_b and not wanted.phone_b.startswith(country):
        raise CountryMismatch("phoneA and phoneB must have the same country code")
    return country


def check_room(services: Services, wanted: Wanted, given: GivenNumber) -> None:
    """Raise PoolExhausted if the given virtual number takes no more bindings."""
    if given.state != ACTIVE:
        raise PoolExhausted("phoneX takes no new bindings: it is draining")
    if given.bindings >= services.bindings_per_number_max:
        raise PoolExhausted(
            f"phoneX is full: it has {services.bindings_per_number_max} bindings, as many as it may"
        )
    if wanted.kind == EXTENSION and given.extensions >= limits.EXTENSIONS_ON_NUMBER_MAX:
        raise PoolExhausted("phoneX is full: all digits are taken")


def check_seats(wanted: Wanted) -> Transaction[None]:
    """Check that nobody holds the seats on the given virtual number.

    Raises:
        BindingConflict: A live binding does; the text names the field.
    """
    params = wanted.params() | {"did": wanted.did}
    statements = [Statement("binding_conflict_find", params)]
    if wanted.group_seq != NO_GROUP:
        statements.append(Statement("binding_group_conflict_find", params))
    taken, *of_group = yield statements
    if taken:
        fields = {params["phone_b"]: "phoneB", params["phone_a"]: "phoneA"}
        field = "extension" if wanted.kind == EXTENSION else fields[taken[0][0]]
        raise BindingConflict(f"{field} has a live binding on phoneX")
    if of_group and of_group[0]:
        raise BindingConflict(
            "groupId: a member has a live binding on phoneX, or is in another group that is bound "
            "there, or the group itself is"
        )


def choose(services: Services, wanted: Wanted, country: str, *, take: bool) -> Transaction[Chosen]:
    """Return the virtual number of a country with the fewest bindings that can take this one.

    Args:
        take: Count the binding on it at once; not for a group.

    Raises:
        NoVirtualNumber: The customer has none in this country.
        PoolExhausted: None can take it; the text says whether all are full.
    """
    rest_ms = wanted.now_ms - services.seat_rest_s * 1000 if services.seat_rest_s else NEVER_MS
    params = wanted.params() | {
        "country": country,
        "business_id": wanted.business_id,
        "bindings_max": services.bindings_per_number_max,
        "rest_ms": rest_ms,
        "cool_ms": min(rest_ms, wanted.now_ms - COOL_MS),
    }
    rows = yield Statement("number_choose:take" if take else "number_choose", params)
    is_group = wanted.group_seq != NO_GROUP
    if is_group and rows:
        # The first one that is free for phoneA most often is free for the group. To compare a group
        # with all virtual numbers may take a long time.
        taken = yield Statement("binding_group_conflict_find", params | {"did": rows[0][0]})
        rows = (yield Statement("number_choose:group", params)) if taken else rows
    if rows:
        did, business_id = rows[0]
        return Chosen(did, business_id, is_counted=take)
    of_business = _of_business(wanted)
    if not (yield from check_pool(services, wanted, country)):
        raise PoolExhausted(
            f"every virtual number{of_business} with the country code {country} is full or draining"
        )
    who = "a member of the group or phoneA" if is_group else "one of these two phones"
    raise PoolExhausted(
        f"{who} has a live binding on every virtual number{of_business} with the country code "
        f"{country} that is not full"
    )


def check_pool(services: Services, wanted: Wanted, country: str) -> Transaction[bool]:
    """Return whether a virtual number of a country takes more bindings.

    Raises:
        NoVirtualNumber: The customer has none in this country.
    """
    params = {
        "customer_id": wanted.customer_id,
        "country": country,
        "business_id": wanted.business_id,
        "bindings_max": services.bindings_per_number_max,
    }
    ((has_any, has_room),) = yield Statement("number_pool_find", params)
    if not has_any:
        raise NoVirtualNumber(
            f"you have none{_of_business(wanted)} with the country code {country}"
        )
    return bool(has_room)


def _of_business(wanted: Wanted) -> str:
    return "" if wanted.business_id is None else " of this business"
