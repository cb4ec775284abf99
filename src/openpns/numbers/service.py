"""The operator's commands on virtual numbers; `bindings.removal` removes them.

Source: docs/operating/numbers.md.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from openpns import limits
from openpns.accounts import customers
from openpns.clock import Clock
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.errors import ConfigError, DidWithoutCountry, EntryNotFound, ParameterError
from openpns.numbers.wire import ACTIVE, DISABLED, DRAINING
from openpns.phones import find_country_code, mask_phone, parse_did_digits
from openpns.storage.store import Row, Statement, Store, Transaction

RESTING: Final = "resting"
"""The state of a virtual number that was removed; see `add`."""

DEFAULT_BUSINESS: Final = "default"

BINDINGS_MIGRATION: Final = 13
"""Once its post step is applied, no server runs that changes groups without looking at bindings."""

_BUSINESS_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


class StoredNumber(msgspec.Struct, frozen=True, rename="camel"):
    """A virtual number as the operator sees it; the counts are None if it rests.

    An audio is the URL of a WAV file: empty for the engine's own tone, None for the customer's.
    """

    did: str
    customer_id: str
    business_id: str
    state: str
    country: str
    changed_ms: int
    bindings: int | None
    extensions: int | None
    audio_when_call_fail: str | None = None
    audio_when_dtmf_err: str | None = None
    audio_when_dtmf_need: str | None = None


def parse_did(text: str, field: str) -> str:
    """Return a virtual number in digits; a leading "+" and white space around it are dropped.

    Raises:
        ParameterError: It is not 5 to 15 digits; the text names the field.
        DidWithoutCountry: It begins with no assigned country code.
    """
    did = parse_did_digits(text, field)
    check_did_country(did, field)
    return did


def check_did_country(did: str, field: str) -> None:
    """Raise DidWithoutCountry if a virtual number begins with no assigned country code."""
    if not find_country_code(did):
        raise DidWithoutCountry(f"{field} must begin with an assigned country code")


async def add(
    store: Store,
    clock: Clock,
    customer_id: str,
    dids: Sequence[str],
    *,
    business_id: str = DEFAULT_BUSINESS,
    rest_days: int = limits.NUMBER_REST_DAYS,
    ignore_rest: bool = False,
) -> list[str]:
    """Give virtual numbers to a customer, all or none; return them in digits.

    Args:
        rest_days: How long a removed virtual number rests before another customer can get it.
        ignore_rest: Do not wait for that; the audit entry says so.

    Raises:
        ConfigError: The customer does not exist, a virtual number is malformed, given twice, taken
            or rests, or the database has not all steps of the migrations.
    """
    if not _BUSINESS_ID.fullmatch(business_id):
        raise ConfigError(
            "business: allowed are 1 to 64 letters, digits, _ . and -, the first one a letter or "
            "digit"
        )
    numbers = [parse_as_operator(did, place) for place, did in enumerate(dids, 1)]
    if len(set(numbers)) < len(numbers):
        raise ConfigError("a virtual number is given twice")
    await _require_new_servers(store)
    now_ms = clock()
    rested_ms = limits.QUOTA_MAX if ignore_rest else now_ms - rest_days * limits.DAY_MS

    def steps() -> Transaction[OperatorEffect[list[str]]]:
        yield from customers.must_exist(customer_id)
        for place, did in enumerate(numbers, 1):
            row = {
                "did": did,
                "customer_id": customer_id,
                "business_id": business_id,
                "country": find_country_code(did),
            }
            times = {"now_ms": now_ms, "rested_ms": rested_ms}
            if not (yield Statement("number_add", row | times)):
                raise (yield from _taken(place, did, customer_id))
            yield Statement("number_load_add", row)
        details = {"numbers": [mask_phone(did) for did in numbers[:3]], "added": len(numbers)}
        if ignore_rest:
            details["restIgnored"] = True
        return OperatorEffect(numbers, customer_id, details=details)

    return await commit_as_operator(store, "numbers.add", steps)


async def get(store: Store, did: str) -> StoredNumber:
    """Return a virtual number of any customer.

    Raises:
        EntryNotFound: No customer has it.
    """
    did = parse_as_operator(did)
    rows = await store.fetch("number_find", {"did": did})
    if not rows:
        raise unknown_number(did)
    return as_stored(did, rows[0])


async def list_stored(
    store: Store, customer_id: str | None = None, state: str | None = None
) -> list[StoredNumber]:
    """Return virtual numbers, also those that rest, by number; None does not restrict.

    Raises:
        EntryNotFound: The customer does not exist.
    """
    if customer_id is not None:
        await customers.get(store, customer_id)
    rows = await store.fetch("number_list_stored", {"customer_id": customer_id, "state": state})
    return [StoredNumber(*row) for row in rows]


async def set_state(store: Store, clock: Clock, did: str, state: str) -> StoredNumber:
    """Make a virtual number active, draining or disabled.

    Raises:
        EntryNotFound: No customer has it, or it rests.
    """
    did = parse_as_operator(did)
    now_ms = clock()

    def steps() -> Transaction[OperatorEffect[StoredNumber]]:
        # Binds that are in flight end first.
        stored = yield from lock_in_use(did)
        changed = {"customer_id": stored.customer_id, "did": did}
        yield [
            Statement("number_set_state", changed | {"state": state, "now_ms": now_ms}),
            Statement("number_load_set_open", changed | {"is_open": int(state == ACTIVE)}),
        ]
        effect = msgspec.structs.replace(stored, state=state, changed_ms=now_ms)
        details = {"number": mask_phone(did), "state": state}
        return OperatorEffect(effect, stored.customer_id, details=details)

    action = {ACTIVE: "numbers.enable", DRAINING: "numbers.drain", DISABLED: "numbers.disable"}
    return await commit_as_operator(store, action[state], steps)


def lock_in_use(did: str) -> Transaction[StoredNumber]:
    """Lock the customer who has a virtual number, and return the number: steps of a write.

    It is read again under the lock: until then it may have been removed.

    Raises:
        ConfigError: No customer has it, it rests, or another customer has got it meanwhile.
    """
    before = yield from _must_be_in_use(did)
    yield Statement("customer_state_lock", {"customer_id": before.customer_id})
    stored = yield from _must_be_in_use(did)
    if stored.customer_id != before.customer_id:
        raise ConfigError(
            f"virtual number {mask_phone(did)}: another customer has got it meanwhile; run this "
            "again if it is still meant"
        )
    return stored


def _must_be_in_use(did: str) -> Transaction[StoredNumber]:
    rows = yield Statement("number_find", {"did": did})
    if not rows or rows[0][2] == RESTING:
        raise unknown_number(did)
    return as_stored(did, rows[0])


def as_stored(did: str, row: Row) -> StoredNumber:
    """Return a row of number_find as a struct."""
    return StoredNumber(did, *row)


def unknown_number(did: str) -> EntryNotFound:
    """Return the error for a virtual number that no customer has."""
    return EntryNotFound(
        f"virtual number {mask_phone(did)}: no customer has it; openpns numbers list shows all"
    )


def parse_as_operator(text: str, place: int = 1) -> str:
    """Return a virtual number in digits; `place` is which one of a command it is.

    Raises:
        ConfigError: It is malformed, or begins with no assigned country code.
    """
    try:
        return parse_did(text, f"virtual number {place}")
    except (ParameterError, DidWithoutCountry) as error:
        raise ConfigError(error.detail) from None


def _taken(place: int, did: str, customer_id: str) -> Transaction[ConfigError]:
    stored = as_stored(did, (yield Statement("number_find", {"did": did}))[0])
    what = f"virtual number {place} ({mask_phone(did)})"
    if stored.state == RESTING:
        return ConfigError(
            f"{what} rests after its removal from another customer, so that no old caller reaches "
            "a stranger; wait, or give it at once with --ignore-rest"
        )
    whose = "this" if stored.customer_id == customer_id else "another"
    return ConfigError(f"{what} belongs to {whose} customer already")


async def _require_new_servers(store: Store) -> None:
    for applied in await store.applied_migrations():
        if (applied.number, applied.step) == (BINDINGS_MIGRATION, "post"):
            return
    raise ConfigError(
        "database: a server of an older version could still run, which changes groups without "
        "looking at their bindings; stop those servers, then run: openpns migrate --post"
    )
