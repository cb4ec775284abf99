"""Bounds that users meet, and the defaults of settings: bytes, counts and times.

A bound of the wire protocol changes only with a new version of the API. Other tunables are defined
where they are used.
"""

from typing import Final

# Bounds of the wire protocol.
GROUPS_IN_PAGE_MAX: Final = 1000
PHONES_IN_PAGE_MAX: Final = 10_000
GROUP_ID_CHARS: Final = 32
# A body may arrive in 256 chunks of any size; beyond that, in chunks of 256 bytes on average,
# because each chunk costs a wake-up.
BODY_CHUNKS_FREE: Final = 256
BODY_CHUNK_BYTES_MIN: Final = 256
# Bodies up to this size are not counted in BODY_BUFFER_BYTES_MAX.
BODY_BYTES_SMALL: Final = 16 * 1024
OFFSET_MAX: Final = 2**63 - 1
TS_SKEW_MS_MAX: Final = 60_000
GROUP_NAME_CHARS_MAX: Final = 128
REMARK_CHARS_MAX: Final = 512
PHONE_DIGITS_MIN: Final = 5
PHONE_DIGITS_MAX: Final = 15
CLIENT_TOKEN_CHARS_MAX: Final = 64
CLIENT_TOKEN_MS: Final = 24 * 3_600_000

# Defaults of settings.
BODY_BYTES_MAX: Final = 1024 * 1024
PHONES_IN_GROUP_MAX: Final = 10_000
PHONES_IN_REQUEST_MAX: Final = 10_000
BODY_TIMEOUT_MS: Final = 10_000
BODY_BUFFER_BYTES_MAX: Final = 256 * 1024 * 1024
HEADER_TIMEOUT_MS: Final = 30_000
REQUESTS_IN_FLIGHT_MAX: Final = 1024
SLOW_REQUEST_MS: Final = 1000
CACHE_BYTES_MAX: Final = 64 * 1024 * 1024
SHUTDOWN_GRACE_S: Final = 30
STORAGE_TIMEOUT_MS: Final = 5000
POSTGRES_CONNECTIONS_MAX: Final = 10

# Log lines per second and worker for requests that fail before their signature is verified or
# exceed their key's rate; further ones are only counted.
LOG_LINES_PER_S_MAX: Final = 20

# Rates of access keys: the largest rate per second, and the buckets that a worker keeps.
RATE_MAX: Final = 1_000_000
RATE_BUCKETS_MAX: Final = 100_000

# Bytes of the headers of one request, which are received before anything is verified.
HEADER_BYTES_MAX: Final = 64 * 1024

# Identifiers that the operator chooses.
CUSTOMER_ID_CHARS_MAX: Final = 64
CUSTOMER_NAME_CHARS_MAX: Final = 128
ACCESS_KEY_CHARS_MIN: Final = 4
ACCESS_KEY_CHARS_MAX: Final = 64
ACCESS_SECRET_CHARS_MIN: Final = 8
ACCESS_SECRET_CHARS_MAX: Final = 128
LABEL_CHARS_MAX: Final = 128

# A page that may hold more phones than this is read and sent slice by slice, so that memory does
# not grow with the page: 262 144 phones are about 4 MiB of text.
PHONES_IN_CHUNKED_PAGE_MIN: Final = 262_144
GROUPS_IN_SLICE: Final = 8

# Phones in one chunk of a group's text in the database. Migrations contain this number, too.
PHONES_IN_CHUNK: Final = 128

# Rows of access keys that are cached: one for so many bytes of CACHE_BYTES_MAX.
CACHED_KEY_BYTES: Final = 16 * 1024

# How long after its ts a write is recorded by its signature. No server accepts the ts after half
# of this time; the other half allows for nodes whose clocks differ.
SIGNATURE_RECORD_MS: Final = 2 * TS_SKEW_MS_MAX
# How long after its ts expired a waiting write may still be carried out. The rest of the time until
# its record is deleted allows for clocks that differ.
WRITE_LATE_MS_MAX: Final = TS_SKEW_MS_MAX // 2
CLEAN_UP_S: Final = 30.0

# How long the position of a deleted group is stored, for clients that page after it.
GROUP_TOMBSTONE_MS: Final = 7 * 24 * 3_600_000

# Groups that getLimits counts in one statement; other requests run in between.
GROUPS_IN_COUNT: Final = 10_000

# The audit trail: masked phones in the entry of a write, and entries pruned in one transaction.
AUDIT_PHONES_MAX: Final = 3
AUDIT_PRUNE_AT_ONCE: Final = 10_000

# Import into the database: groups and phones in one transaction.
IMPORT_BATCH_GROUPS: Final = 1000
IMPORT_BATCH_PHONES: Final = 20_000

# Worker ids: how long a lease lasts, and how often a worker renews it.
WORKER_ID_MAX: Final = 1023
WORKER_LEASE_MS: Final = 600_000
WORKER_RENEW_MS: Final = 120_000

# `openpns sign --explain`: bounds of the search. The bytes are those of all texts together: long
# bodies end the search sooner. For two mistakes at once, only likely variants of each are tried.
EXPLAIN_DIGESTS_MAX: Final = 500_000
EXPLAIN_TEXT_BYTES_MAX: Final = 256 * 1024 * 1024
EXPLAIN_VARIANTS_IN_PAIR_MAX: Final = 64
EXPLAIN_JSON_TOKENS_MAX: Final = 20_000

# The client: its time limits, its retries, and from which difference on its clock is wrong.
CLIENT_TIMEOUT_S: Final = 30.0
CLIENT_RETRIES: Final = 2
CLIENT_BACKOFF_S: Final = 0.2
CLIENT_BACKOFF_S_MAX: Final = 5.0
CLIENT_RETRY_AFTER_S_MAX: Final = 30.0
CLIENT_SKEW_MS_MIN: Final = 1000
