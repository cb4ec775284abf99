"""Every bound in one place: bytes, counts and times, each with its unit in its name.

Those that an operator may change are the defaults of `openpns.server.config.Settings`; the
others are part of the API and never change without a new version of it.
"""

from typing import Final

# The API's own bounds (part of the wire protocol).
GROUPS_IN_PAGE_MAX: Final = 1000
OFFSET_MAX: Final = 2**63 - 1
TS_SKEW_MS_MAX: Final = 60_000
GROUP_NAME_CHARS_MAX: Final = 128
REMARK_CHARS_MAX: Final = 512
PHONE_DIGITS_MIN: Final = 5
PHONE_DIGITS_MAX: Final = 15

# Defaults of settings.
BODY_BYTES_MAX: Final = 1024 * 1024
NUMBERS_IN_GROUP_MAX: Final = 10_000
NUMBERS_IN_REQUEST_MAX: Final = 10_000
REQUESTS_IN_FLIGHT_MAX: Final = 1024
SLOW_REQUEST_MS: Final = 1000
GRACE_S: Final = 30
STORAGE_TIMEOUT_MS: Final = 5000
POSTGRES_CONNECTIONS_MAX: Final = 10

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
NUMBERS_IN_PIECE_MAX: Final = 262_144
GROUPS_IN_SLICE: Final = 8

# Bulk import: one transaction holds at most this many groups and numbers.
IMPORT_BATCH_GROUPS: Final = 1000
IMPORT_BATCH_NUMBERS: Final = 20_000

# Snowflake node ids: how long a worker holds one, and how often it says it is still there.
NODE_ID_MAX: Final = 1023
NODE_LEASE_MS: Final = 600_000
NODE_RENEW_MS: Final = 120_000
