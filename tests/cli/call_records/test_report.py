"""`openpns call-records report`."""

import pytest
from tests.cli.bindings.conftest import A, B, X
from tests.cli.conftest import Run

from openpns import Client
from openpns.testing import Emulator

REPORT = ("call-records", "report")


def ask(emulator: Emulator) -> str:
    """Return the callId of a question of A."""
    with Client(emulator.base_url, emulator.access_key, emulator.access_secret) as pns:
        return pns.bindings.query(A, X).call_id


def test_report_stores_a_record_once(api: Run, emulator: Emulator) -> None:
    call_id = ask(emulator)
    times = ("--start", "2022-12-08T09:00:00", "--answer", "1670490005", "--hangup", "1670490065")
    how = ("--cause", "ORIGINATOR_CANCEL", "--code", "7", "--hung-up-by", "callee")
    others = ("--recording", "https://example.com/1.wav", "--caller", A, "--did", X)
    done = api(*REPORT, call_id, *times, *how, *others)
    assert (done.out, done.err) == ("4\n", "")
    assert api(*REPORT, call_id, *times, *how, "--json", "--recording", others[1]).json == {"id": 4}
    shown = api("call-records", "get", call_id, "--json").json
    assert (shown["id"], shown["caller"], shown["callee"]) == (4, A, B)
    assert (shown["startAt"], shown["answerAt"], shown["hangupAt"], shown["duration"]) == (
        1_670_490_000, 1_670_490_005, 1_670_490_065, 60,
    )  # fmt: skip
    assert (shown["hangupCause"], shown["hangupCode"], shown["hangup"]) == (how[1], 7, 1)
    assert shown["recordFile"] == others[1]
    other = api(*REPORT, call_id, "--start", "1670490000", "--hangup", "1670490065", code=1)
    assert "another report of this callId is stored" in other.err


def test_report_without_a_question_names_the_binding(api: Run, emulator: Emulator) -> None:
    times = ("--start", "1670490000", "--hangup", "1670490065")
    done = api(*REPORT, "1602262837283131392", *times, code=1)
    assert "caller, did, bindId" in done.err
    (binding,) = api("bindings", "list", "-q").out.split()
    named = ("--caller", B, "--did", X, "--binding", binding)
    assert api(*REPORT, "1602262837283131392", *times, *named).out == "4\n"
    assert api(*REPORT, "1602262837283131393", *times, *named[:-1], "no", code=3).err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--hangup", "1670490065"], "Missing option '--start'"),
        (["--start", "5", "--hangup", "1670490065"], "or seconds since 1970 UTC"),
        (["--start", "1670490065", "--hangup", "1670490065", "--code", "-1"], "range"),
        (["--start", "1670490065", "--hangup", "1670490065", "--hung-up-by", "me"], "callee"),
    ],
)
def test_wrong_values_are_refused(run_anywhere: Run, arguments: list[str], why: str) -> None:
    assert why in run_anywhere(*REPORT, "1", *arguments, code=2).err
