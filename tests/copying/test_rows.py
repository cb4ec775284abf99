import pytest

from openpns.copying.rows import Columns
from openpns.storage.copying import TABLES


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (("cus_1", "85211111114", "85290000001"), "cus_1, 85211****14, 85290****01"),
        (("cus_1", "29012", "85290000001"), "cus_1, ***12, 85290****01"),
        (("cus_1", 1234567, "1234"), "cus_1, 1234567, 1234"),
    ],
)
def test_keys_in_error_texts_have_no_full_phone(key: tuple[str | int, ...], shown: str) -> None:
    (seat,) = [table for table in TABLES if table.name == "seat"]
    assert Columns(seat, seat.key, None).text_of(key) == shown
