"""Collecting a request body that comes in pieces, within bounds; for both adapters."""

from openpns import limits
from openpns.errors import ParameterError


class BodyCollector:
    """A body that grows piece by piece.

    Args:
        bytes_max: How many bytes it may have.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = bytearray()
        self._pieces = 0

    def add(self, piece: bytes) -> bool:
        """Add a piece; return whether the body still has no more bytes than it may.

        Args:
            piece: The next bytes.

        Raises:
            ParameterError: The pieces are tiny and many: each costs the server more than its
                sender.
        """
        self._bytes += piece
        self._pieces += 1
        fair = limits.BODY_PIECES_FREE + len(self._bytes) // limits.BODY_PIECE_BYTES_MIN
        if self._pieces > fair:
            raise ParameterError("the body must come with a Content-Length, or in larger pieces")
        return len(self._bytes) <= self._bytes_max

    def whole(self) -> bytes:
        """Return what was collected."""
        return bytes(self._bytes)
