import pytest

from openpns import limits
from openpns.errors import ParameterError
from openpns.server.body import BodyCollector


@pytest.mark.parametrize("piece_bytes", [limits.BODY_PIECE_BYTES_MIN, 1024, 16 * 1024])
def test_a_body_in_fair_pieces_is_collected(piece_bytes: int) -> None:
    body = BodyCollector(limits.BODY_BYTES_MAX)
    pieces = [bytes([number % 256]) * piece_bytes for number in range(1024 * 1024 // piece_bytes)]
    assert all(body.add(piece) for piece in pieces)
    assert body.whole() == b"".join(pieces)


def test_a_short_body_may_come_byte_by_byte() -> None:
    body = BodyCollector(limits.BODY_BYTES_MAX)
    assert all(body.add(b"x") for _ in range(limits.BODY_PIECES_FREE))
    assert body.whole() == b"x" * limits.BODY_PIECES_FREE


def test_a_flood_of_tiny_pieces_is_refused() -> None:
    body = BodyCollector(limits.BODY_BYTES_MAX)
    for _ in range(limits.BODY_PIECES_FREE + 1):
        body.add(b"x")
    with pytest.raises(ParameterError, match="larger pieces"):
        body.add(b"x")


def test_a_body_over_the_bound_is_told() -> None:
    body = BodyCollector(10)
    assert body.add(b"x" * 10)
    assert not body.add(b"x")
