import pytest

from openpns.bulk.headers import check_header
from openpns.errors import ConfigError
from openpns.groups.rows import COLUMNS

DIGITS = "it has digits, as a row has: the names of the columns are missing"
PHONES = [
    "85211111114", "+852 111 111 14", "852-111-111-14", "(852)1.1.1.1.1.1.1.4",
    "８５２１１１１１１１４", "٨٥٢١١١١١١١٤", "phones 852 1 1",
]  # fmt: skip


@pytest.mark.parametrize("header", [COLUMNS, ["phones"], ["phones", "groupName"]])
def test_check_header_accepts_columns_in_any_order(header: list[str]) -> None:
    check_header(header, "in.csv")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ([], "it is empty"),
        ([""], "it is empty"),
        (["groupName;phones"], "its columns are separated by semicolons"),
        (["groupName\tphones"], "its columns are separated by tabs"),
        (["sep=", ""], "it is the sep= of a spreadsheet; delete this line"),
        (["sep=;"], "it is the sep= of a spreadsheet; delete this line"),
        (["\udcff\udcfep\0h"], "the file is UTF-16"),
        (["\udcba\udcc5"], "it is not UTF-8"),
        (["GroupName", "phones"], "'GroupName' must be written groupName"),
        (["groupName", " phones"], "' phones' must be written phones"),
        (["groupName", "phones", ""], "column 3 has no name"),
        (["groupName", "phones", "note"], "'note' is not a column"),
        (["groupName", "phone\x1b[J"], "'phone\ufffd[J' is not a column"),
        (["groupName", "phone\x1b[2J"], "column 2 is none of these"),
        (["groupName"], "phones is missing"),
        (["phones", "phones"], "phones is there twice"),
        *((["a", phone], DIGITS) for phone in PHONES),
        (["852", "1", "11", "phones"], "column 1 is none of these"),
    ],
)
def test_check_header_says_what_was_found(header: list[str], found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_header(header, "in.csv")
    assert str(caught.value) == (
        "in.csv: the first line must be the names of the columns, in UTF-8 and joined with commas, "
        f"but {found}; allowed are groupId, groupName, phones, remark; phones is required"
    )
