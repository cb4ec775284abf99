"""Reports whose fields are malformed."""

from typing import Any

import pytest
from tests.call_records.actions import Calls, T

from openpns.errors import DidWithoutCountry, ParameterError

OLD = "1"
"""The callId of a question of long ago."""


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"call_id": "12a"}, "callId must be 1 to 20 digits"),
        ({"call_id": ""}, "callId must be 1 to 20 digits"),
        ({"call_id": "1" * 21}, "callId must be 1 to 20 digits"),
        ({"hangup_at": T - 1, "answer_at": 0}, "hangupAt must not be before startAt"),
        ({"answer_at": T - 1}, "answerAt must be 0, or from startAt to hangupAt"),
        ({"answer_at": T + 11}, "answerAt must be 0, or from startAt to hangupAt"),
        ({"record_file": "ftp://a.example/1"}, "recordFile must be empty, or a URL"),
        ({"record_file": "https://"}, "recordFile must be empty, or a URL"),
        ({"record_file": "https://a.example/ 1"}, "recordFile must be empty, or a URL"),
        ({"record_file": "https://[a"}, "recordFile must be empty, or a URL"),
        ({"caller": "x"}, "caller must be a phone number"),
        ({"did": "12"}, "did must be a virtual number"),
    ],
)
async def test_malformed_report_is_refused(calls: Calls, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        await calls.report(**{"call_id": OLD} | fields)


async def test_did_without_country_is_refused(calls: Calls) -> None:
    with pytest.raises(DidWithoutCountry):
        await calls.report(OLD, did="99990000001")
