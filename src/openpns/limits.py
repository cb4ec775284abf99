"""Bounds of the wire protocol and of the operator's identifiers, and the defaults of settings.

A bound of the wire protocol changes only with a new version of the API. Other tunables are defined
where they are used.
"""

from typing import Final

# Bounds of the wire protocol.
GROUPS_IN_PAGE_MAX: Final = 1000
PHONES_IN_PAGE_MAX: Final = 10_000
GROUP_ID_CHARS: Final = 32
OFFSET_MAX: Final = 2**63 - 1
TS_SKEW_MS_MAX: Final = 60_000
GROUP_NAME_CHARS_MAX: Final = 128
REMARK_CHARS_MAX: Final = 512
PHONE_DIGITS_MIN: Final = 5
PHONE_DIGITS_MAX: Final = 15
CLIENT_TOKEN_CHARS_MAX: Final = 64
CLIENT_TOKEN_MS: Final = 24 * 3_600_000
HEADER_BYTES_MAX: Final = 64 * 1024

# Bounds of what the operator chooses.
CUSTOMER_ID_CHARS_MAX: Final = 64
CUSTOMER_NAME_CHARS_MAX: Final = 128
ACCESS_KEY_CHARS_MIN: Final = 4
ACCESS_KEY_CHARS_MAX: Final = 64
ACCESS_SECRET_CHARS_MIN: Final = 8
ACCESS_SECRET_CHARS_MAX: Final = 128
LABEL_CHARS_MAX: Final = 128
RATE_MAX: Final = 1_000_000

# Defaults of settings.
BODY_BYTES_MAX: Final = 1024 * 1024
PHONES_IN_GROUP_MAX: Final = 10_000
PHONES_IN_REQUEST_MAX: Final = 10_000
BODY_TIMEOUT_MS: Final = 10_000
RECEIVE_BUFFER_BYTES_MAX: Final = 64 * 1024 * 1024
SEND_BUFFER_BYTES_MAX: Final = 64 * 1024 * 1024
HEADER_TIMEOUT_MS: Final = 10_000
IDLE_TIMEOUT_MS: Final = 75_000
SEND_TIMEOUT_MS: Final = 30_000
RESPONSE_TIMEOUT_MS: Final = 300_000
CONNECTIONS_MAX: Final = 4096
CONNECTIONS_PER_ADDRESS_MAX: Final = 2048
REQUESTS_IN_FLIGHT_MAX: Final = 1024
SLOW_REQUEST_MS: Final = 1000
CACHE_BYTES_MAX: Final = 64 * 1024 * 1024
SHUTDOWN_GRACE_S: Final = 30
STORAGE_TIMEOUT_MS: Final = 5000
POSTGRES_CONNECTIONS_MAX: Final = 10
