"""`openpns numbers add|show|drain|disable|enable|remove`."""

from pathlib import Path

import pytest
from tests.cli.conftest import Run

X, Y = "85290000001", "85290000002"
OF_CUSTOMER = ("--customer", "cus_1")


@pytest.fixture
def numbers(openpns: Run) -> Run:
    """Runs `openpns` on a database with a virtual number."""
    openpns("numbers", "add", X, *OF_CUSTOMER)
    return openpns


def test_add_from_arguments_and_files(openpns: Run, tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    file.write_bytes(b"\xef\xbb\xbfdid,note\r\n85290000003,a\r\n\r\n+85290000004,b\r\n")
    done = openpns("numbers", "add", X, f"+{Y}", "--file", str(file), *OF_CUSTOMER)
    assert done.out == "cus_1: 4 virtual numbers added\n"
    plain = openpns("numbers", "add", "--file", "-", *OF_CUSTOMER, "--json", stdin=b"85290000005\n")
    assert plain.json == ["85290000005"]
    listed = openpns("numbers", "list", *OF_CUSTOMER, "--json").json
    assert [number["did"] for number in listed] == [X, Y, *(f"8529000000{n}" for n in (3, 4, 5))]


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["add", *OF_CUSTOMER], 2, "Missing DID"),
        (["add", X, *OF_CUSTOMER], 2, r"virtual number 1 (85290****01) belongs to this customer"),
        (["add", "x", *OF_CUSTOMER], 2, "virtual number 1 must be a virtual number"),
        (["add", Y, "--customer", "nobody"], 3, "customer 'nobody': not found"),
        (["add", Y, *OF_CUSTOMER, "--business", "a b"], 2, "business: allowed are"),
        (["add", "--file", "missing.csv", *OF_CUSTOMER], 2, "missing.csv: cannot read it"),
        (["show", Y], 3, "no customer has it"),
        (["drain", "abc"], 2, "must be a virtual number"),
        (["remove", Y], 3, "no customer has it"),
        (["list", *OF_CUSTOMER, "--profile", "p"], 2, "cannot be combined"),
    ],
)
def test_wrong_arguments_are_refused(
    numbers: Run, arguments: list[str], code: int, why: str
) -> None:
    done = numbers("numbers", *arguments, code=code)
    assert why in done.err
    assert done.out == ""
    assert X not in done.err


def test_states(numbers: Run) -> None:
    for command, state in (("drain", "draining"), ("disable", "disabled"), ("enable", "active")):
        assert numbers("numbers", command, X, "--json").json["state"] == state
        assert numbers("numbers", "show", X).out.splitlines()[1].split()[3] == state
    removed = numbers("numbers", "remove", X, "--json").json
    assert (removed["state"], removed["bindings"]) == ("resting", None)
    numbers("numbers", "add", X, *OF_CUSTOMER)
    numbers("numbers", "remove", X, "--force")


def test_set_audio_is_shown(numbers: Run) -> None:
    url = "https://a.example/busy.wav?key=1"
    numbers("customers", "set-audio", "cus_1", "--dtmf-err", url)
    done = numbers("numbers", "set-audio", X, "--call-fail", url, "--dtmf-need", "")
    lines = [f"audio call-fail: {url}", "audio dtmf-need: the own tone of the switch"]
    assert done.out.splitlines()[-2:] == lines
    assert numbers("numbers", "show", X).out.splitlines()[-2:] == lines
    found = numbers("numbers", "show", X, "--json").json
    audios = ("audioWhenCallFail", "audioWhenDtmfErr", "audioWhenDtmfNeed")
    assert [found[name] for name in audios] == [url, None, ""]
    assert numbers("numbers", "list", *OF_CUSTOMER, "--json").json == [found]
    done = numbers("numbers", "set-audio", X, "--default", "--json")
    assert [done.json[name] for name in audios] == [None] * 3
