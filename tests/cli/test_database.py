from openpns.cli.database import when


def test_a_time_is_shown_in_utc_and_never_as_a_dash() -> None:
    assert when(1_670_479_632_933) == "2022-12-08 06:07:12Z"
    assert when(None) == "-"
