"""The server's settings: names, types, bounds, defaults and meanings.

The options of the command line, the environment variables, the error texts and the table in
docs/operating/configuration.md are derived from this struct.
"""

from typing import Annotated, Final, Literal

import msgspec

from openpns import limits
from openpns.deliveries.settings import DeliverySettings
from openpns.process.settings import choice
from openpns.protocol.fields import integer, text

_INTEGER_MAX: Final = 2**31 - 1
_OWN: Final = "a quota of its own (19012 beyond); 0 for no quota"


class Settings(DeliverySettings, frozen=True, kw_only=True):
    """The settings of a server."""

    host: Annotated[
        str,
        text("Address that the API listens on.", allowed="an address or name of this machine"),
    ] = "127.0.0.1"
    port: Annotated[int, integer("Port that the API listens on; 0 for any free one.", 0, 65535)] = (
        8080
    )
    workers: Annotated[int, integer("Number of worker processes.", 1, 256)] = 1
    readiness_timeout_ms: Annotated[
        int,
        integer("Time for the database and a worker to answer `/readyz`, in ms.", 100, 600_000),
    ] = limits.READINESS_TIMEOUT_MS
    worker_timeout_ms: Annotated[
        int,
        integer(
            "Time until a worker whose event loop does not run is killed and replaced, in ms.",
            2000,
            3_600_000,
        ),
    ] = limits.WORKER_TIMEOUT_MS
    body_bytes_max: Annotated[
        int, integer("Largest request body, in bytes.", 1024, 64 * 1024 * 1024)
    ] = limits.BODY_BYTES_MAX
    body_timeout_ms: Annotated[
        int, integer("Time limit for a request body to arrive, in ms.", 100, 600_000)
    ] = limits.BODY_TIMEOUT_MS
    receive_buffer_bytes_max: Annotated[
        int,
        integer(
            "Bytes of requests that one worker holds while they arrive in parts or wait for their "
            "turn; requests beyond that are answered 503.",
            1024,
            2**40,
        ),
    ] = limits.RECEIVE_BUFFER_BYTES_MAX
    send_buffer_bytes_max: Annotated[
        int,
        integer(
            "Bytes of responses that one worker holds for clients which do not take them; beyond "
            "that, it closes connections of the customer who has the most.",
            1024,
            2**40,
        ),
    ] = limits.SEND_BUFFER_BYTES_MAX
    header_timeout_ms: Annotated[
        int,
        integer(
            "Time limit for a new connection to begin a request, and for headers to arrive, in ms.",
            100,
            600_000,
        ),
    ] = limits.HEADER_TIMEOUT_MS
    send_timeout_ms: Annotated[
        int,
        integer(
            "Time limit for a client to take a response, for each MiB of it, in ms.", 100, 600_000
        ),
    ] = limits.SEND_TIMEOUT_MS
    response_timeout_ms: Annotated[
        int,
        integer("Time limit for a client to take a whole response, in ms.", 100, 3_600_000),
    ] = limits.RESPONSE_TIMEOUT_MS
    connections_max: Annotated[
        int,
        integer(
            "Open connections per worker; if all are taken, a new one replaces one that sends no "
            "request, or waits.",
            1,
            1_000_000,
        ),
    ] = limits.CONNECTIONS_MAX
    connections_per_address_max: Annotated[
        int,
        integer(
            "Open connections per worker from one IP address that is no trusted proxy.",
            1,
            1_000_000,
        ),
    ] = limits.CONNECTIONS_PER_ADDRESS_MAX
    tls_cert: (
        Annotated[
            str,
            text(
                "File with the TLS certificate and its chain, in PEM; plain HTTP if not set.",
                allowed="a file that can be read",
            ),
        ]
        | None
    ) = None
    tls_key: (
        Annotated[
            str,
            text(
                "File with the private key of `tls_cert`.",
                allowed="a file that other users cannot read",
            ),
        ]
        | None
    ) = None
    trusted_proxies: (
        Annotated[
            str,
            text(
                "Addresses and networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Host` "
                "count, with commas between them; none if not set.",
                allowed="addresses and networks such as 10.0.0.0/8,2001:db8::1",
            ),
        ]
        | None
    ) = None
    phones_in_group_max: Annotated[
        int, integer("Largest number of phones in a group.", 1, 1_000_000)
    ] = limits.PHONES_IN_GROUP_MAX
    phones_in_request_max: Annotated[
        int, integer("Largest number of phones in one request.", 1, 1_000_000)
    ] = limits.PHONES_IN_REQUEST_MAX
    groups_per_customer_max: Annotated[
        int, integer(f"Groups of a customer without {_OWN}.", 0, limits.QUOTA_MAX)
    ] = limits.GROUPS_PER_CUSTOMER_MAX
    phones_per_customer_max: Annotated[
        int,
        integer(f"Phones in all groups of a customer without {_OWN}.", 0, limits.QUOTA_MAX),
    ] = limits.PHONES_PER_CUSTOMER_MAX
    bytes_per_customer_max: Annotated[
        int,
        integer(
            f"Bytes of names and remarks, and 16 for each phone, of a customer without {_OWN}.",
            0,
            limits.QUOTA_MAX,
        ),
    ] = limits.BYTES_PER_CUSTOMER_MAX
    bindings_per_customer_max: Annotated[
        int, integer(f"Bindings of a customer without {_OWN}.", 0, limits.QUOTA_MAX)
    ] = limits.BINDINGS_PER_CUSTOMER_MAX
    call_records_per_customer_max: Annotated[
        int, integer(f"Stored call records of a customer without {_OWN}.", 0, limits.QUOTA_MAX)
    ] = limits.CALL_RECORDS_PER_CUSTOMER_MAX
    deliveries_per_customer_max: Annotated[
        int,
        integer(
            f"Stored deliveries to the webhook of a customer without {_OWN}. Beyond three quarters "
            "of it, calls without a binding are counted only.",
            0,
            limits.QUOTA_MAX,
        ),
    ] = limits.DELIVERIES_PER_CUSTOMER_MAX
    bindings_per_number_max: Annotated[
        int, integer("Bindings on one virtual number.", 1, 10_000_000)
    ] = limits.BINDINGS_PER_NUMBER_MAX
    seat_rest_s: Annotated[
        int,
        integer(
            "Seconds after a binding ended in which its phones get no binding on the same virtual "
            "number, unless a request names it; 0 to only prefer others for a day.",
            0,
            365 * 86_400,
        ),
    ] = limits.SEAT_REST_S
    wrong_digits_max: Annotated[
        int,
        integer(
            "Wrong digits of one caller on one virtual number within 10 minutes that pause digits "
            "there for an hour.",
            1,
            1_000_000,
        ),
    ] = limits.WRONG_DIGITS_MAX
    wrong_digits_per_customer_max: Annotated[
        int,
        integer(
            "Last wrong digits of a customer whose callers are known; the callers of older ones "
            "are forgotten, also if digits are paused for them.",
            1,
            100_000_000,
        ),
    ] = limits.WRONG_DIGITS_PER_CUSTOMER_MAX
    call_traces_per_customer_max: Annotated[
        int,
        integer(
            "Traces of calls of a customer that are stored, about 250 bytes each, for a day at "
            "most; the oldest are deleted first.",
            1,
            1_000_000_000,
        ),
    ] = limits.CALL_TRACES_PER_CUSTOMER_MAX
    call_records_kept_days: Annotated[
        int,
        integer("Days after which call records are deleted; 0 stores them for ever.", 0, 36_500),
    ] = limits.CALL_RECORDS_KEPT_DAYS
    requests_in_flight_max: Annotated[
        int,
        integer("Requests in flight per worker; more are answered 503.", 1, 1_000_000),
    ] = limits.REQUESTS_IN_FLIGHT_MAX
    rate_per_s: Annotated[
        int,
        integer(
            "Units of cost per second that this server grants an access key without a rate of its "
            "own; most requests cost one; 0 for no limit.",
            0,
            limits.RATE_MAX,
        ),
    ] = 0
    rate_burst: Annotated[
        int,
        integer(
            "Units of such a key that may be used at once; 0 for those of one second.",
            0,
            limits.RATE_MAX,
        ),
    ] = 0
    customer_rate_per_s: Annotated[
        int,
        integer(
            "Units of cost per second that this server grants a customer, over all its access "
            "keys; 0 for no limit.",
            0,
            limits.RATE_MAX,
        ),
    ] = 0
    customer_rate_burst: Annotated[
        int,
        integer(
            "Units of a customer that may be used at once; 0 for those of one second.",
            0,
            limits.RATE_MAX,
        ),
    ] = 0
    key_expires_days_default: Annotated[
        int,
        integer(
            "Days until a new access key expires, if `openpns keys create` does not say when; 0 "
            "for never.",
            0,
            limits.KEY_EXPIRES_DAYS_MAX,
        ),
    ] = 0
    cache_bytes_max: Annotated[
        int,
        integer(
            "Memory of one worker for cached responses, in bytes; 0 turns the cache off.",
            0,
            2**40,
        ),
    ] = limits.CACHE_BYTES_MAX
    slow_request_ms: Annotated[
        int, integer("Duration from which on a request is logged as slow, in ms.", 1, _INTEGER_MAX)
    ] = limits.SLOW_REQUEST_MS
    searches_max: Annotated[
        int,
        integer(
            "Searches that take long and run at once per worker; on PostgreSQL at most a third of "
            "the connections.",
            1,
            10_000,
        ),
    ] = limits.SEARCHES_MAX
    searches_per_customer_max: Annotated[
        int, integer("Those of one customer; more wait in turns.", 1, 10_000)
    ] = limits.SEARCHES_PER_CUSTOMER_MAX
    large_pages_max: Annotated[
        int,
        integer(
            "Large pages that are read in slices at once per worker; on PostgreSQL at most a third "
            "of the connections.",
            1,
            10_000,
        ),
    ] = limits.LARGE_PAGES_MAX
    large_pages_per_customer_max: Annotated[
        int, integer("Those of one customer; more wait in turns.", 1, 10_000)
    ] = limits.LARGE_PAGES_PER_CUSTOMER_MAX
    waiting_per_customer_max: Annotated[
        int,
        integer(
            "Writes in flight, waiting searches and waiting large pages of one customer per "
            "worker; more of each are answered 503.",
            1,
            100_000,
        ),
    ] = limits.WAITING_PER_CUSTOMER_MAX
    log_lines_per_s_max: Annotated[
        int,
        integer(
            "Log lines per second and worker for requests that failed or were slow, and again as "
            "many for failures of the server; further ones are counted.",
            1,
            1_000_000,
        ),
    ] = limits.LOG_LINES_PER_S_MAX
    log_lines_per_key_per_s_max: Annotated[
        int,
        integer(
            "The same for the requests of one access key, and for all without a correct signature.",
            1,
            1_000_000,
        ),
    ] = limits.LOG_LINES_PER_KEY_PER_S_MAX
    webhook_worker: Annotated[
        Literal["off", "on"],
        choice(
            "Whether the server also delivers to webhooks; off if `openpns worker` does.",
            "off",
            "on",
        ),
    ] = "on"
    webhook_time_zone: Annotated[
        str,
        text(
            "Offset from UTC of the times that webhooks get as text.",
            allowed="an offset from UTC such as +08:00",
        ),
    ] = limits.WEBHOOK_TIME_ZONE
    unbound_calls_per_number_per_s_max: Annotated[
        int,
        integer(
            "Calls without a binding per second, virtual number and worker that are sent to a "
            "webhook; further ones are counted.",
            0,
            100_000,
        ),
    ] = limits.UNBOUND_CALLS_PER_NUMBER_PER_S_MAX
    deliveries_kept_days: Annotated[
        int,
        integer(
            "Days after which an event for a webhook is deleted, delivered or not; 0 for never.",
            0,
            limits.KEPT_DAYS_MAX,
        ),
    ] = limits.DELIVERIES_KEPT_DAYS


def _fields() -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return all settings: the database, those of a server alone, those that others share."""
    first, *others = msgspec.structs.fields(Settings)
    shared = {field.name for field in msgspec.structs.fields(DeliverySettings)}
    return (first, *sorted(others, key=lambda field: field.name in shared))


FIELDS: Final = _fields()
"""All settings, in the order of the docs."""
