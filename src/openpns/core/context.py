"""Request context: the services, the authenticated principal and the facts of the request."""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.clock import Clock
from openpns.core.principal import Principal
from openpns.core.rate_limits import RateLimits
from openpns.ids import IdSource
from openpns.kit.per_second import PerSecond
from openpns.kit.turns import OwnerCounts, Places
from openpns.kit.utc_offset import parse_utc_offset
from openpns.storage.store import Store

_ROWS_IN_SMALL_READ: Final = 100
"""A read of more rows waits for its customer's turn: see `Services.large_reads`."""

_NO_TURN: Final = nullcontext()


def make_large_reads(
    waiting_per_customer_max: int = limits.WAITING_PER_CUSTOMER_MAX,
    timeout_s: float = limits.STORAGE_TIMEOUT_MS / 1000,
) -> Places:
    """Return the places of large reads: one for each customer."""
    of_all = limits.REQUESTS_IN_FLIGHT_MAX
    return Places("large reads", of_all, 1, waiting_per_customer_max, timeout_s)


def make_digit_turns() -> Places:
    """Return the turns of questions with digits: one at a time of each caller on each number."""
    of_all, timeout_s = limits.REQUESTS_IN_FLIGHT_MAX, limits.STORAGE_TIMEOUT_MS / 1000
    return Places("questions with digits", of_all, 1, limits.DIGITS_WAITING_MAX, timeout_s)


def count_nothing(event: str, number: int) -> None:
    """Do not count what happened: there are no metrics."""


def make_early_reports() -> OwnerCounts:
    """Return the count of reports of each customer that wait for the trace of their question."""
    return OwnerCounts("reports of calls that have just begun", limits.EARLY_REPORTS_MAX)


@dataclass(frozen=True, slots=True)
class Services:
    """What every rule works with.

    The bounds per customer are quotas of customers without quotas of their own; 0 for none.

    Attributes:
        phones_in_request_max: Includes repeats.
        seat_rest_s: How long a phone must wait for a new binding on a virtual number after its last
            one there ended.
        large_reads: One of each customer at a time: the event loop takes milliseconds for each, and
            does what it has for others in between.
        key_used_ms: When access keys were used, as far as that is not stored yet.
        call_traces: What was asked for calls, as far as that is not stored yet.
        wrong_digits_max: Wrong digits of a caller on a virtual number that pause digits there.
        digit_turns: One question with digits of a caller on a virtual number at a time, so that it
            is answered after the wrong digits of the ones before it are counted.
        call_traces_per_customer_max: Stored traces of a customer; the oldest are deleted.
        wrong_digits_per_customer_max: Of the callers who dialled wrong digits, those of so many
            last ones are known.
        count: Counts what happened for the metrics, by its name in `routing.outcomes`.
        unbound_calls: The bound on calls without a binding that go to a webhook, for each virtual
            number.
        webhook_time_zone: That of times which webhooks get as text.
        deliveries_kept_days: Days after which events for webhooks are deleted; 0 for never.
        call_records_kept_days: How long call records are stored; 0 for ever.
        early_reports: Reports of calls that wait for the trace of their question.
    """

    store: Store
    ids: IdSource
    clock: Clock
    phones_in_group_max: int = limits.PHONES_IN_GROUP_MAX
    phones_in_request_max: int = limits.PHONES_IN_REQUEST_MAX
    groups_per_customer_max: int = limits.GROUPS_PER_CUSTOMER_MAX
    phones_per_customer_max: int = limits.PHONES_PER_CUSTOMER_MAX
    bytes_per_customer_max: int = limits.BYTES_PER_CUSTOMER_MAX
    bindings_per_customer_max: int = limits.BINDINGS_PER_CUSTOMER_MAX
    call_records_per_customer_max: int = limits.CALL_RECORDS_PER_CUSTOMER_MAX
    deliveries_per_customer_max: int = limits.DELIVERIES_PER_CUSTOMER_MAX
    bindings_per_number_max: int = limits.BINDINGS_PER_NUMBER_MAX
    seat_rest_s: int = limits.SEAT_REST_S
    body_bytes_max: int = limits.BODY_BYTES_MAX
    rates: RateLimits = field(default_factory=RateLimits)
    large_reads: Places = field(default_factory=make_large_reads)
    key_used_ms: dict[str, int] = field(default_factory=dict)
    call_traces: deque[Any] = field(default_factory=deque)
    wrong_digits_max: int = limits.WRONG_DIGITS_MAX
    digit_turns: Places = field(default_factory=make_digit_turns)
    call_traces_per_customer_max: int = limits.CALL_TRACES_PER_CUSTOMER_MAX
    wrong_digits_per_customer_max: int = limits.WRONG_DIGITS_PER_CUSTOMER_MAX
    count: Callable[[str, int], None] = count_nothing
    unbound_calls: PerSecond = field(
        default_factory=lambda: PerSecond(limits.UNBOUND_CALLS_PER_NUMBER_PER_S_MAX)
    )
    webhook_time_zone: tzinfo = field(
        default_factory=lambda: parse_utc_offset(limits.WEBHOOK_TIME_ZONE)
    )
    deliveries_kept_days: int = limits.DELIVERIES_KEPT_DAYS
    call_records_kept_days: int = limits.CALL_RECORDS_KEPT_DAYS
    early_reports: OwnerCounts = field(default_factory=make_early_reports)


class RequestFacts(msgspec.Struct, frozen=True):
    """What identifies a request; empty if a rule does not run for a request of the API."""

    request_id: str = ""
    signature: str = ""
    ts_ms: int = 0
    client_token: str | None = None
    nonce: str = ""

    def __repr__(self) -> str:  # without the signature, the token and the nonce
        return f"RequestFacts(request_id={self.request_id!r})"


class Context(msgspec.Struct, frozen=True):
    """The first parameter of every rule."""

    services: Services
    principal: Principal
    request: RequestFacts = RequestFacts()

    @property
    def store(self) -> Store:
        """The database."""
        return self.services.store

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        return self.services.clock

    @property
    def customer_id(self) -> str:
        """The customer whose data the rule reads and writes."""
        return self.principal.customer_id

    def read_turn(self, rows_max: int) -> AbstractAsyncContextManager[None]:
        """Return the block in which up to `rows_max` rows are read.

        If these are many, the block waits for its customer's turn.
        """
        if rows_max <= _ROWS_IN_SMALL_READ:
            return _NO_TURN
        return self.services.large_reads.hold(self.customer_id)
