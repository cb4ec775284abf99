"""The commands that use the API, as processes against a real server."""

import itertools
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.acceptance.conftest import KEY_OF, OPENPNS, Process, Start, run_openpns
from tests.helpers import on_sqlite_only

HEADER = "groupId,groupName,phones,remark\n"
NUMBERS = "85211111114,8613800138000"
# nohup, and a shell in the background, start the tests with ignored signals.
_NOT_IGNORED = """
import os, signal, sys
signal.signal(int(sys.argv[1]), signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
"""


def _environ(server: Process, folder: Path, customer: str = "cus_1") -> dict[str, str]:
    access_key, secret = KEY_OF[customer]
    return {
        "OPENPNS_BASE_URL": f"http://127.0.0.1:{server.port}",
        "OPENPNS_ACCESS_KEY": access_key,
        "OPENPNS_ACCESS_SECRET": secret,
        "XDG_CONFIG_HOME": str(folder),
        # The operator's variables must not change which server these commands use.
        "OPENPNS_DATABASE": "sqlite:///no-such-folder/no.db",
    }


def _names(server: Process) -> list[str]:
    """The names of all groups, sorted."""
    names: list[str] = []
    while True:
        data = server.call("listGroup", {"limit": 1000, "offset": len(names)})["data"]
        names += [group["groupName"] for group in data["groups"]]
        if len(names) == data["total"]:
            return sorted(names)


def _wait_for_acknowledged(state: Path, count: int, importing: subprocess.Popen[bytes]) -> None:
    for _ in range(3000):
        if state.exists() and state.read_bytes().count(b'"done"') >= count:
            return
        assert importing.poll() is None, "the import ended before it was killed"
        time.sleep(0.01)
    raise AssertionError("the import does not go on")


def test_killed_import_resumes_without_duplicates_or_losses(serve: Start, tmp_path: Path) -> None:
    server = serve()
    environ = _environ(server, tmp_path)
    names = [f"group {number:04}" for number in range(1500)]
    file = tmp_path / "in.csv"
    file.write_text(HEADER + "".join(f',{name},"{NUMBERS}",\n' for name in names))
    state = tmp_path / "in.csv.openpns-import"
    command = ["groups", "import", str(file)]
    for number, acknowledged in enumerate((100, 600)):
        importing = subprocess.Popen(
            [*OPENPNS, *command, *(["--resume"] if number else [])],
            env=os.environ | environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for_acknowledged(state, acknowledged, importing)
        importing.send_signal(signal.SIGKILL)
        importing.wait(30)
    refused = run_openpns(*command, **environ)
    assert refused.returncode == 2
    assert "continue it with --resume" in refused.stderr
    done = run_openpns(*command, "--resume", **environ)
    assert done.returncode == 0, done.stderr
    before = int(re.findall(r"([0-9]+) rows were done before", done.stderr)[0])
    now = int(re.findall(r"imported ([0-9]+) groups", done.stdout)[0])
    assert before >= 600
    assert before + now == len(names)
    assert _names(server) == names
    assert not state.exists()


@on_sqlite_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_import_says_how_to_continue(
    serve: Start, tmp_path: Path, number: signal.Signals
) -> None:
    environ = _environ(serve(), tmp_path)
    file = tmp_path / "in.csv"
    file.write_text(f"{HEADER}" + "".join(f",{place},{NUMBERS[:11]},\n" for place in range(5000)))
    importing = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _NOT_IGNORED,
            str(int(number)),
            *OPENPNS,
            "groups",
            "import",
            str(file),
        ],
        env=os.environ | environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_acknowledged(tmp_path / "in.csv.openpns-import", 20, importing)
    importing.send_signal(number)
    _, shown = importing.communicate(timeout=30)
    assert importing.returncode == 128 + number
    assert shown == (
        f"progress is stored in {file}.openpns-import; fix the errors and rerun with --resume\n"
        "openpns: interrupted\n"
    )


@on_sqlite_only
def test_all_group_commands(serve: Start, tmp_path: Path) -> None:
    environ = _environ(serve(), tmp_path)

    def run(*arguments: str) -> str:
        done = run_openpns("groups", *arguments, **environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    group_id = run("create", "85211111114", "--name", "销售一部").strip()
    run("add", group_id, "8613800138000")
    run("remove", group_id, "85211111114")
    assert json.loads(run("get", group_id, "--json"))["phones"] == ["8613800138000"]
    run("replace", group_id, "442071838750")
    exported = tmp_path / "out.jsonl"
    run("export", str(exported))
    run("delete", group_id, "--yes")
    assert json.loads(run("list", "--json")) == []
    moved = exported.read_text().replace(group_id, "")
    exported.write_text(moved)
    assert "would import 1 groups with 1 phones" in run("import", str(exported), "--dry-run")
    assert json.loads(run("list", "--json")) == []
    run("import", str(exported))
    assert [group["groupName"] for group in json.loads(run("list", "--json"))] == ["销售一部"]


@on_sqlite_only
@pytest.mark.parametrize(("answer", "is_deleted"), [("n", False), ("", False), ("y", True)])
def test_delete_asks_on_a_terminal(
    serve: Start, tmp_path: Path, answer: str, is_deleted: bool
) -> None:
    server = serve()
    group_id = server.call("createGroup", {"phones": NUMBERS})["groupId"]
    shown = _at_terminal(
        ["groups", "delete", group_id], _environ(server, tmp_path), [("[y/N]", f"{answer}\n")]
    )
    assert f"Delete the group {group_id} with all phones? [y/N]" in shown
    assert (_names(server) == []) == is_deleted


@on_sqlite_only
def test_only_a_terminal_gets_colours(serve: Start, tmp_path: Path) -> None:
    server = serve()
    environ = _environ(server, tmp_path) | {"TERM": "xterm", "COLUMNS": "120"}
    file = tmp_path / "in.csv"
    file.write_text(f'{HEADER},销售,"{NUMBERS}",\n')
    piped = run_openpns("groups", "import", str(file), **environ)
    assert (piped.stdout, piped.stderr) == ("imported 1 groups with 2 phones\n", "")
    assert "\x1b[32m" in _at_terminal(["doctor"], environ)
    assert "\x1b" not in _at_terminal(["doctor"], environ | {"NO_COLOR": "1"})
    assert "\x1b" not in run_openpns("doctor", **environ).stdout
    envelope = _at_terminal(["request", "listGroup", "--data", '{"limit":1,"offset":0}'], environ)
    assert '{\r\n  "code": 0,\r\n' in envelope


@on_sqlite_only
def test_printed_curl_command_works(serve: Start, tmp_path: Path) -> None:
    server = serve()
    body = '{"limit": 1, "offset": 0, "note": "it\'s"}'
    done = run_openpns(
        "request", "listGroup", "--data", body, "--curl", **_environ(server, tmp_path)
    )
    words = shlex.split(done.stdout)
    headers = dict(
        word.split(": ", 1) for option, word in itertools.pairwise(words) if option == "-H"
    )
    connection = server.connect()
    connection.request("POST", "/api/pns/", words[words.index("--data-raw") + 1], headers)
    assert json.loads(connection.getresponse().read())["code"] == 0
    connection.close()


@on_sqlite_only
def test_client_commands_need_no_server_packages(serve: Start, tmp_path: Path) -> None:
    server = serve()
    heavy = ["apsw", "asyncpg", "httptools", "cryptography", "phonenumbers", "structlog", "uvloop"]
    code = f"import sys; sys.modules.update(dict.fromkeys({heavy!r}))\n"
    code += "from openpns.cli.main import main; main()"
    file = tmp_path / "in.csv"
    file.write_text(f'{HEADER},a,"{NUMBERS}",\n')
    for command in (
        ["doctor"],
        ["groups", "import", str(file)],
        ["groups", "list"],
        ["groups", "export"],
        ["request", "listGroup", "--curl"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            env=os.environ | _environ(server, tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert _names(server) == ["a"]


@on_sqlite_only
def test_lost_server_is_exit_code_6_and_loses_nothing(serve: Start, tmp_path: Path) -> None:
    server = serve()
    environ = _environ(server, tmp_path)
    server.stop()
    for arguments in (["groups", "list"], ["doctor"], ["groups", "export"]):
        done = run_openpns(*arguments, **environ)
        assert done.returncode == 6
        assert done.stderr.startswith("openpns: listGroup: ")


def _at_terminal(
    arguments: list[str], environ: dict[str, str], answers: list[tuple[str, str]] | None = None
) -> str:
    """Run a command in a terminal, answer its prompt, and return its output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*OPENPNS, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | environ,
        close_fds=True,
    )
    os.close(theirs)
    shown = b""
    left = list(answers or [])
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux: the other side is closed
            break
        if not piece:
            break
        shown += piece
        if left and left[0][0].encode() in shown:
            os.write(ours, left.pop(0)[1].encode())
    os.close(ours)
    process.wait(30)
    return shown.decode()
