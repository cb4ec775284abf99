"""How a binding is made: the locks, the checks in the order of the API, and what is stored.

Locks are taken in one order: the group, the customer, everything else. Writes of bindings of a
customer wait for each other, and so do changes of a bound group: see `group_guard`.

Source: docs/decisions/0040-seats.md.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.bindings import choice, ending, expired
from openpns.bindings.choice import NO_GROUP, Chosen, GivenNumber, Wanted
from openpns.bindings.rows import StoredBinding, find_statement, seats_of
from openpns.bindings.wire import AXB, AXG, EXTENSION, Bound
from openpns.core.commit import Effect, change_revision, quota_exceeded
from openpns.core.context import Context
from openpns.errors import (
    CountryMismatch,
    CustomerBindIdInUse,
    GroupNotFound,
    ParameterUnfit,
    PoolExhausted,
    QuotaExceeded,
    WireError,
)
from openpns.groups.wire import GROUP_ID
from openpns.kit.in_flight import copy_error
from openpns.numbers.wire import ACTIVE
from openpns.phones import mask_phone
from openpns.storage.store import ResultT, Row, Statement, Transaction, as_struct

AFTER_DIGITS: Final = ":"
"""The character after 9: phones of a country lie between its code and its code with this."""


class BindingRequest(msgspec.Struct, frozen=True):
    """A checked request of one of the actions that bind; empty texts are missing ones.

    Attributes:
        is_import: The binding lives elsewhere already: it is never a repetition, and what may
            have changed since it was made there is not checked.
    """

    action: str
    kind: str
    phone_a: str
    phone_b: str
    expire_second: int
    did: str = ""
    extension: str = ""
    group_id: str = ""
    customer_bind_id: str = ""
    flag: int = 0
    business_id: str | None = None
    dry_run: bool = False
    is_import: bool = False

    def __repr__(self) -> str:  # without the phones
        return f"BindingRequest({self.action!r})"

    def payload(self) -> dict[str, Any]:
        """Return the normalised fields by their names on the wire."""
        return {
            "phoneA": self.phone_a,
            "phoneB": self.phone_b or None,
            "phoneX": self.did or None,
            "extension": self.extension or None,
            "groupId": self.group_id or None,
            "customerBindId": self.customer_bind_id or None,
            "flag": self.flag or None,
            "expireSecond": self.expire_second,
            "businessId": self.business_id,
        }


class NewBinding(msgspec.Struct, frozen=True):
    """What a new binding gets besides the fields of its request."""

    bind_id: str
    live_until_ms: int
    body_digest: str


class ExpiredFirst(Exception):
    """Bindings that ran out may be in the way: end some, then make the binding.

    Their groups are locked before the customer, so they are ended in transactions of their own.

    Attributes:
        refusal: The error if too many are in the way; None if it is one, with `customer_bind_id`.
    """

    def __init__(self, refusal: WireError | None = None, customer_bind_id: str = "") -> None:
        super().__init__()
        self.refusal = refusal
        self.customer_bind_id = customer_bind_id


async def with_expired_ended(context: Context, write: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Run a write that makes a binding; end bindings that ran out if they are in its way.

    Raises:
        WireError: The write is refused, also if more are in its way than one request ends. That is
            not recorded for a client token: the next request may find room.
    """
    batches = 0
    while True:
        try:
            return await write()
        except ExpiredFirst as first:
            refusal, own_id = first.refusal, first.customer_bind_id
        if refusal is None:
            await expired.end_own(context, own_id)
        elif batches < expired.BATCHES_MAX:
            batches += 1
            await expired.end_some(context)
        else:
            raise copy_error(refusal)  # the error itself and this frame would be a cycle


def make_binding(
    context: Context, request: BindingRequest, new: NewBinding
) -> Transaction[Effect[Bound]]:
    """Make a binding: steps of a write.

    A live binding with the customerBindId of the request is returned instead.

    Raises:
        ExpiredFirst: Bindings that ran out may be in its way.
        WireError: The binding is refused.
    """
    group_seq = yield from _lock_group(context, request.group_id)
    seq, count, quota = yield from _lock_bindings(context)
    # Under the lock: what another worker has ended meanwhile must not lie in the future.
    now_ms = context.clock()
    wanted = _wanted(context, request, group_seq, now_ms)
    earlier, numbers = yield from _find(context, request, wanted)
    if earlier is not None and earlier.is_live(now_ms):
        if request.is_import or earlier.body_digest != new.body_digest:
            raise CustomerBindIdInUse("by a binding that was made by another body")
        bound = Bound(earlier.bind_id, earlier.did)
        return Effect(bound, earlier.bind_id, {}, is_change=False)
    if earlier is not None:
        raise ExpiredFirst(customer_bind_id=request.customer_bind_id)
    chosen = yield from _choose(context, request, wanted, quota - count, numbers)
    counts = ending.counted(bindings=1, seqs=1, quota=quota)
    if chosen.is_counted:
        # Binds that run in lockstep have all read the same seq: this one is the binding's own.
        revised = yield change_revision(context.customer_id, "bindings", counts)
        if not revised:
            raise quota_exceeded("bindings")
        seq = revised[0][0] - 1
    bound = Bound(new.bind_id, chosen.did)
    last = _store(context, request, new, wanted, seq, chosen)
    details = _details(request, chosen.did)
    return Effect(bound, new.bind_id, details, last, counts, is_revised=chosen.is_counted)


def _wanted(
    context: Context, request: BindingRequest, group_seq: int | None, now_ms: int
) -> Wanted:
    """Return what a new binding needs of its virtual number."""
    return Wanted(
        context.customer_id,
        request.kind,
        request.phone_a,
        request.phone_b,
        request.did,
        request.extension,
        request.business_id,
        now_ms,
        NO_GROUP if group_seq is None else group_seq,
        is_import=request.is_import,
    )


def _lock_group(context: Context, group_id: str) -> Transaction[int | None]:
    """Lock a group; return its seq, None if there is no such group."""
    if not GROUP_ID.fullmatch(group_id):
        return None
    group = {"customer_id": context.customer_id, "group_id": group_id}
    found = yield Statement("group_lock", group)
    return found[0][0] if found else None


def _lock_bindings(context: Context) -> Transaction[tuple[int, int, int]]:
    """Lock the customer's bindings; return the next seq, their count and the quota."""
    ((seq, count, quota),) = yield Statement(
        "binding_order_lock", {"customer_id": context.customer_id}
    )
    if quota is None:
        quota = context.services.bindings_per_customer_max or limits.QUOTA_MAX
    return seq, count, quota


def _find(
    context: Context, request: BindingRequest, wanted: Wanted
) -> Transaction[tuple[StoredBinding | None, Sequence[Row]]]:
    """Return the binding with the customerBindId, also one that ran out, and the found numbers."""
    numbers = choice.find_numbers(wanted)
    if not request.customer_bind_id:
        return None, (yield numbers)
    found, rows = yield [find_statement(context, None, request.customer_bind_id), numbers]
    return (as_struct(StoredBinding, found[0]) if found else None), rows


def _choose(
    context: Context, request: BindingRequest, wanted: Wanted, room: int, numbers: Sequence[Row]
) -> Transaction[Chosen]:
    """Return the virtual number that the binding takes; the checks are in the order of the API."""
    given = choice.check_numbers(wanted, numbers)
    try:
        return (yield from _choose_with(context, request, wanted, room, given))
    except (PoolExhausted, QuotaExceeded) as refusal:
        can_get_room = given is None or given.state == ACTIVE or isinstance(refusal, QuotaExceeded)
        if can_get_room and (
            yield from ending.find_expired(wanted.customer_id, wanted.now_ms, at_most=1)
        ):
            raise ExpiredFirst(refusal) from None
        raise


def _choose_with(
    context: Context,
    request: BindingRequest,
    wanted: Wanted,
    room: int,
    given: GivenNumber | None,
) -> Transaction[Chosen]:
    country = given.country if given is not None else choice.check_countries(wanted)
    if request.kind == AXG:
        try:
            yield from _check_group(wanted, country)
        except WireError:
            if given is None:
                yield from choice.check_pool(context.services, wanted, country)
            raise
    if room <= 0:
        raise quota_exceeded("bindings")
    if given is None:
        take = request.kind == AXB and not request.dry_run
        return (yield from choice.choose(context.services, wanted, country, take=take))
    choice.check_room(context.services, wanted, given)
    yield from choice.check_seats(wanted)
    return Chosen(given.did, given.business_id)


def _check_group(wanted: Wanted, country: str) -> Transaction[None]:
    """Check the members of the group, which is locked.

    Raises:
        GroupNotFound: The customer has no such group.
        CountryMismatch: A member has another country code.
        ParameterUnfit: phoneB is not a member.
    """
    if wanted.group_seq == NO_GROUP:
        raise GroupNotFound
    stranger, position_b = (
        yield Statement(
            "binding_group_country_find",
            {
                "customer_id": wanted.customer_id,
                "group_seq": wanted.group_seq,
                "country": country,
                "country_end": country + AFTER_DIGITS,
                "phone_b": wanted.phone_b,
            },
        )
    )[0]
    if stranger is not None:
        raise CountryMismatch(f"every number of the group must begin with {country}")
    if wanted.phone_b and position_b is None and not wanted.is_import:
        raise ParameterUnfit("phoneB must be a number of the group")


def _store(
    context: Context,
    request: BindingRequest,
    new: NewBinding,
    wanted: Wanted,
    seq: int,
    chosen: Chosen,
) -> list[Statement]:
    """Return what stores a new binding with its seats and counts."""
    seat = {
        "customer_id": context.customer_id,
        "did": chosen.did,
        "binding_seq": seq,
        "live_until_ms": new.live_until_ms,
        "now_ms": wanted.now_ms,
    }
    row = {
        "bind_id": new.bind_id,
        "customer_bind_id": request.customer_bind_id,
        "kind": request.kind,
        "business_id": chosen.business_id,
        "phone_a": request.phone_a,
        "phone_b": request.phone_b,
        "extension": request.extension,
        "group_id": request.group_id,
        "group_seq": wanted.group_seq if request.group_id else None,
        "flag": request.flag,
        "body_digest": new.body_digest,
    }
    seats = seats_of(request.kind, request.phone_a, request.phone_b, request.extension)
    extensions = int(request.kind == EXTENSION)
    last = [
        Statement("binding_create", seat | row),
        *[Statement("seat_take", seat | {"phone": phone}) for phone in seats],
    ]
    if not chosen.is_counted:
        last.append(ending.number_count(context.customer_id, chosen.did, 1, extensions))
    if request.group_id:
        last.append(ending.group_count(context.customer_id, wanted.group_seq, 1))
    return last


def _details(request: BindingRequest, did: str) -> dict[str, Any]:
    """Return the details of the audit entry, with masked phones."""
    phones = [mask_phone(phone) for phone in (request.phone_a, request.phone_b) if phone]
    details: dict[str, Any] = {"phones": phones, "number": mask_phone(did)}
    if request.group_id:
        details["groupId"] = request.group_id
    return details
