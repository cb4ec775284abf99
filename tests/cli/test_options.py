from openpns.cli.options import format_time


def test_format_time_is_utc_and_a_dash_for_none() -> None:
    assert format_time(1_670_479_632_933) == "2022-12-08 06:07:12Z"
    assert format_time(None) == "-"
