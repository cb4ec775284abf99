"""Identifiers: request ids (Snowflake), group ids, access keys and secrets."""

import secrets
from typing import Final, Protocol

from openpns.clock import Clock

SNOWFLAKE_EPOCH_MS: Final = 1_288_834_974_657
"""The zero of a Snowflake's 41 bits of ms (Twitter's epoch), as in the vendor's examples."""

_SEQUENCE_MAX: Final = 4095
_FOREVER_MS: Final = 2**63


class IdSource(Protocol):
    """Where the server takes its identifiers from; the contract tests put fixed ones here."""

    def request_id(self) -> str:
        """Return a request id that no other worker or node has given out."""
        ...

    def group_id(self) -> str:
        """Return a new group id that cannot be guessed."""
        ...


class Snowflake:
    """Give out request ids in increasing order: 41 bits of ms, 10 of node, 12 of sequence.

    The clock may stand still or jump back: then the ids run on from the last one, ahead of the
    clock, so that none is given twice and nobody waits.

    Args:
        clock: The wall clock.
        node: This worker's number among all workers of all nodes, 0 to 1023.
        after_ms: No id is given a time at or before this one (what the node's last holder used).
        until_ms: How long the number is this worker's own. A clock that says a later time is not
            followed, for another worker may hold the number by then; ids run on from the last
            one.
    """

    def __init__(
        self, clock: Clock, node: int, after_ms: int = 0, until_ms: int = _FOREVER_MS
    ) -> None:
        self.node = node
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
        return str(ms << 22 | self.node << 12 | self._sequence)

    def move(self, node: int, after_ms: int, until_ms: int) -> None:
        """Run on under another worker number.

        Args:
            node: The number, 0 to 1023.
            after_ms: No id is given a time at or before this one.
            until_ms: How long the number is this worker's own.
        """
        self.node, self.until_ms = node, until_ms
        if after_ms >= self.last_ms:
            self.last_ms = after_ms
            self._sequence = _SEQUENCE_MAX

    def group_id(self) -> str:
        """Return 32 random lower-case hex characters."""
        return secrets.token_hex(16)


def new_revision() -> int:
    """Return a new version of a customer's data: 63 random bits.

    Not a count: were a database put back to an earlier state, a count would come by the same
    number again, with other data.
    """
    return secrets.randbits(63)


def new_access_key() -> str:
    """Return a new access key: 20 lower-case letters and digits, 100 random bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "".join(secrets.choice(alphabet) for _ in range(20))


def new_access_secret() -> str:
    """Return a new access secret: 43 URL-safe characters, 256 random bits."""
    return secrets.token_urlsafe(32)
