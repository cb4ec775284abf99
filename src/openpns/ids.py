"""Identifiers: request ids (Snowflake), group ids, revisions, access keys and secrets."""

import secrets
from typing import Final, Protocol

from openpns.clock import Clock

SNOWFLAKE_EPOCH_MS: Final = 1_288_834_974_657
"""Zero of a Snowflake's 41 bits of ms (Twitter's epoch), as in the vendor's examples."""

_SEQUENCE_MAX: Final = 4095
_FOREVER_MS: Final = 2**63


def worker_of(request_id: str) -> int:
    """Return the worker id in a request id."""
    return int(request_id) >> 12 & 1023


class IdSource(Protocol):
    """The server's source of identifiers; contract tests use a fixed one."""

    def request_id(self) -> str:
        """Return a request id that is unique over all workers and nodes."""
        ...

    def group_id(self) -> str:
        """Return a new group id that cannot be guessed."""
        ...

    def bind_id(self) -> str:
        """Return a new bindId that cannot be guessed."""
        ...


class Snowflake:
    """Generate increasing request ids: 41 bits of ms, 10 of worker id, 12 of sequence.

    If the clock stands still or jumps back, ids continue from the last one, ahead of the clock: no
    id repeats and no request waits.

    Args:
        worker_id: Unique among the workers of all nodes, 0 to 1023.
        after_ms: Ids get later times only; the id's previous holder may have used those before.
        until_ms: End of the lease. Ids get no later time: another worker may hold the worker id
            by then. They continue from the last one instead.
    """

    def __init__(
        self, clock: Clock, worker_id: int, after_ms: int = 0, until_ms: int = _FOREVER_MS
    ) -> None:
        self.worker_id = worker_id
        self.until_ms = until_ms
        self.last_ms = max(after_ms, SNOWFLAKE_EPOCH_MS)
        self._clock = clock
        self._sequence = _SEQUENCE_MAX

    def request_id(self) -> str:
        """Return the next id, in decimal."""
        now = self._clock()
        if self.last_ms < now <= self.until_ms:
            self.last_ms = now
            self._sequence = 0
        elif self._sequence < _SEQUENCE_MAX:
            self._sequence += 1
        else:
            self.last_ms += 1
            self._sequence = 0
        ms = self.last_ms - SNOWFLAKE_EPOCH_MS
        return str(ms << 22 | self.worker_id << 12 | self._sequence)

    def reassign(self, worker_id: int, after_ms: int, until_ms: int) -> None:
        """Continue with another worker id; the arguments are those of the class."""
        self.worker_id, self.until_ms = worker_id, until_ms
        if after_ms >= self.last_ms:
            self.last_ms = after_ms
            self._sequence = _SEQUENCE_MAX

    def group_id(self) -> str:
        """Return 32 random lower-case hex characters."""
        return secrets.token_hex(16)

    bind_id = group_id


def new_revision() -> int:
    """Return a new revision of a customer's data: 63 random bits.

    A counter would repeat its values, with other data, after the database is restored to an
    earlier state.
    """
    return secrets.randbits(63)


def new_access_key() -> str:
    """Return a new access key: 20 lower-case letters and digits, 100 random bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "".join(secrets.choice(alphabet) for _ in range(20))


def new_access_secret() -> str:
    """Return a new access secret: 43 URL-safe characters, 256 random bits."""
    return secrets.token_urlsafe(32)
