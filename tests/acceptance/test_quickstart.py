"""`openpns quickstart` as a process, and the sample file it loads."""

import csv
import http.client
import itertools
import json
import shlex
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import phonenumbers
from tests.acceptance.conftest import OPENPNS, Process, Start

SAMPLE = Path(__file__).parents[2] / "samples" / "groups.csv"


def run_curl(server: Process) -> str:
    """Run the printed curl command and return the response."""
    server.wait_for("Serving until Ctrl-C")
    text = server.log.read_text("utf-8")
    begin = text.index("curl ")
    command = shlex.split(text[begin : text.index("\n\nand its response")].replace("\\\n", " "))
    url = urlsplit(next(word for word in command if word.startswith("http")))
    headers = {}
    body = ""
    for option, value in itertools.pairwise(command):
        if option == "-H":
            name, _, content = value.partition(": ")
            headers[name] = content
        elif option == "--data-raw":
            body = value
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    connection.request("POST", url.path, body, headers)
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


def test_quickstart_answers_its_own_request_and_keeps_the_data(
    start: Start, tmp_path: Path
) -> None:
    data = tmp_path / "deep" / "var"
    first = start("quickstart", "--data", str(data), "--port", "0")
    answer = json.loads(run_curl(first))
    assert answer["code"] == 0
    assert answer["data"]["total"] == 300
    assert answer["data"]["groups"][0]["groupName"] == "groupA"
    assert "valid for 60 s" in first.log.read_text("utf-8")
    assert answer["data"] == _printed_answer(first)["data"]
    assert first.stop(signal.SIGINT) == 0
    second = start("quickstart", "--data", str(data), "--port", "0")
    assert json.loads(run_curl(second))["data"] == answer["data"]
    assert "access secret" not in second.log.read_text("utf-8")
    assert second.stop() == 0
    assert (data / "openpns.db").stat().st_mode & 0o777 == 0o600
    assert (data / "openpns.db.key").exists() is False  # the variable holds the master key here


def test_quickstart_without_master_key_creates_a_private_key_file(
    start: Start, tmp_path: Path
) -> None:
    data = tmp_path / "var"
    server = start("quickstart", "--data", str(data), "--port", "0", without_master_key=True)
    assert json.loads(run_curl(server))["code"] == 0
    assert (data / "openpns.db.key").stat().st_mode & 0o777 == 0o600
    assert server.stop() == 0


def test_quickstart_reports_why_it_cannot_start(start: Start, tmp_path: Path) -> None:
    server = start("quickstart", "--data", str(tmp_path / "var"), "--port", "0")
    (tmp_path / "file").touch()
    for arguments, text in (
        (["--data", str(tmp_path / "other"), "--port", str(server.port)], "another program"),
        (["--data", str(tmp_path / "file" / "var")], "cannot write in the folder"),
        (["--data", str(tmp_path / "var"), "--port", "70000"], "from 0 to 65535"),
    ):
        failed = subprocess.run(
            [*OPENPNS, "quickstart", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert failed.returncode == 2
        assert text in failed.stderr
        assert len(failed.stderr.splitlines()) == 1


def test_sample_groups_are_valid() -> None:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sizes = [len(row["phones"].split(",")) for row in rows]
    assert len(rows) == 300
    assert min(sizes) == 1
    assert max(sizes) == 200
    texts = "".join(row["groupName"] + row["remark"] for row in rows)
    assert any("\u4e00" <= character <= "\u9fff" for character in texts)
    numbers = [f"+{number}" for row in rows for number in row["phones"].split(",")]
    parsed = [phonenumbers.parse(number) for number in numbers[3:]]  # the first are the vendor's
    assert all(phonenumbers.is_possible_number(number) for number in parsed)
    assert len({number.country_code for number in parsed}) >= 10


def _printed_answer(server: Process) -> dict[str, dict[str, object]]:
    text = server.log.read_text("utf-8")
    lines = text[text.index("and its response:") :].splitlines()
    answer: dict[str, dict[str, object]] = json.loads(lines[2])
    return answer
