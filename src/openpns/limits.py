"""Every bound in one place: bytes, counts and times, each with its unit in its name.

Those that an operator may change are the defaults of `openpns.server.config.Settings`; the
others are part of the API and never change without a new version of it.
"""

from typing import Final

# The API's own bounds (part of the wire protocol).
GROUPS_IN_PAGE_MAX: Final = 1000
PHONES_IN_PAGE_MAX: Final = 10_000
GROUP_ID_CHARS: Final = 32
# A body may come in pieces of any size, but not in a flood of tiny ones: each costs a wake-up.
BODY_PIECES_FREE: Final = 256
BODY_PIECE_BYTES_MIN: Final = 256
# Bodies up to this size are not counted against the room for bodies that arrive.
BODY_BYTES_SMALL: Final = 16 * 1024
OFFSET_MAX: Final = 2**63 - 1
TS_SKEW_MS_MAX: Final = 60_000
GROUP_NAME_CHARS_MAX: Final = 128
REMARK_CHARS_MAX: Final = 512
PHONE_DIGITS_MIN: Final = 5
CLIENT_TOKEN_CHARS_MAX: Final = 64
CLIENT_TOKEN_MS: Final = 24 * 3_600_000
PHONE_DIGITS_MAX: Final = 15

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

# How many lines a second one worker logs of calls that anybody can make fail, or one key can make
# in a flood; of the others it logs the count.
LOG_LINES_PER_S_MAX: Final = 20

# Rates of access keys: the largest that can be set, and how many buckets a worker keeps.
RATE_MAX: Final = 1_000_000
RATE_BUCKETS_MAX: Final = 100_000

# What the HTTP server keeps of one call's headers; nobody has signed anything by then.
HEADER_BYTES_MAX: Final = 64 * 1024

# Identifiers that the operator chooses.
CUSTOMER_ID_CHARS_MAX: Final = 64
CUSTOMER_NAME_CHARS_MAX: Final = 128
ACCESS_KEY_CHARS_MIN: Final = 4
ACCESS_KEY_CHARS_MAX: Final = 64
ACCESS_SECRET_CHARS_MIN: Final = 8
ACCESS_SECRET_CHARS_MAX: Final = 128
LABEL_CHARS_MAX: Final = 128

# How much of a page is built as one piece. A page that may hold more numbers than this is
# read and sent slice by slice, so that memory does not grow with it: 262 144 numbers are about
# 4 MiB of text.
PHONES_IN_CHUNKED_PAGE_MIN: Final = 262_144
GROUPS_IN_SLICE: Final = 8

# How many numbers of a group's text stand in one piece in the database. Migrations have it too.
PHONES_IN_CHUNK: Final = 128

# Of the bytes that may be kept, one access key's row counts for as many of them; a sixteenth of
# them all may be rows of keys.
CACHED_KEY_BYTES: Final = 16 * 1024

# For how long after a write's own ts it is known again. No server accepts it after the half of
# this; the other half is for nodes whose clocks differ.
SIGNATURE_RECORD_MS: Final = 2 * TS_SKEW_MS_MAX
# How long after a server would no longer accept its ts a write may still have its turn. The rest of
# the time until its note is forgotten is what clocks may differ by.
WRITE_LATE_MS_MAX: Final = TS_SKEW_MS_MAX // 2
CLEAN_UP_S: Final = 30.0

# For how long the place of a deleted group is known, for those who page behind it.
GROUP_TOMBSTONE_MS: Final = 7 * 24 * 3_600_000

# getLimits counts so many groups at a time, and lets other requests run in between.
GROUPS_IN_COUNT: Final = 10_000

# The audit trail: of how many numbers a write's entry shows some digits, and how many entries one
# transaction prunes.
AUDIT_PHONES_MAX: Final = 3
AUDIT_PRUNE_AT_ONCE: Final = 10_000

# Bulk import: one transaction holds at most this many groups and numbers.
IMPORT_BATCH_GROUPS: Final = 1000
IMPORT_BATCH_PHONES: Final = 20_000

# Snowflake node ids: how long a worker holds one, and how often it says it is still there.
WORKER_ID_MAX: Final = 1023
WORKER_LEASE_MS: Final = 600_000
WORKER_RENEW_MS: Final = 120_000

# `openpns sign --explain`: how much is tried. The bytes are those of all texts: long bodies end
# the search sooner. Of two mistakes at once, only the likely ways to make each are tried.
EXPLAIN_DIGESTS_MAX: Final = 500_000
EXPLAIN_TEXT_BYTES_MAX: Final = 256 * 1024 * 1024
EXPLAIN_VARIANTS_IN_PAIR_MAX: Final = 64
EXPLAIN_JSON_TOKENS_MAX: Final = 20_000

# The client: how patient it is, and when its clock counts as wrong.
CLIENT_TIMEOUT_S: Final = 30.0
CLIENT_RETRIES: Final = 2
CLIENT_BACKOFF_S: Final = 0.2
CLIENT_BACKOFF_S_MAX: Final = 5.0
CLIENT_RETRY_AFTER_S_MAX: Final = 30.0
CLIENT_SKEW_MS_MIN: Final = 1000
