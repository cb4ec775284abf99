import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from tests.helpers import MASTER_KEY, on_sqlite_only
from tests.processes import OPENPNS

from openpns.cli import streams
from openpns.cli.output import print_table

# Runs a command whose stdout, or stderr, is closed or has no reader.
CLOSED = "import os, sys; os.close(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a migrated database that has the customer cus_1 and the key old-key."""
    folder = tmp_path_factory.mktemp("streams")
    url = f"sqlite:///{folder / 'a.db'}"
    environ = os.environ | {"OPENPNS_DATABASE": url, "OPENPNS_MASTER_KEY": MASTER_KEY}
    for arguments in (
        ["migrate"],
        ["customers", "create", "cus_1", "--name", "销售é😀"],
        ["keys", "create", "--customer", "cus_1", "--access-key", "old-key"],
    ):
        subprocess.run([*OPENPNS, *arguments], env=environ, check=True, capture_output=True)
    return environ


def _run(environ: dict[str, str], *arguments: str, **options: Any) -> tuple[int, str]:
    """Run a command; return its exit code and what it wrote to stderr."""
    options = {"stderr": subprocess.PIPE} | options
    done = subprocess.run([*OPENPNS, *arguments], env=environ, check=False, **options)
    return done.returncode, (done.stderr or b"").decode()


def _run_closed(environ: dict[str, str], descriptor: int, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-c", CLOSED, str(descriptor), *OPENPNS, *arguments]
    done = subprocess.run(command, env=environ, check=False, capture_output=True)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _run_unread(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return _run(environ, *arguments, stdout=writer)
    finally:
        os.close(writer)


READS = [
    ["customers", "list"], ["customers", "show", "cus_1", "--json"], ["keys", "list"], ["audit"],
    ["audit", "--json"], ["audit", "head"], ["verify"], ["migrate", "--check"],
    ["migrate", "--sql"], ["groups", "export", "--customer", "cus_1"], ["master-key", "new"],
    ["completion", "bash"], ["--help"], ["--version"], ["serve", "--help"],
    ["sign", "--access-key", "k", "--access-secret", "s", "--action", "listGroup"],
]  # fmt: skip


@pytest.mark.parametrize("command", READS, ids=" ".join)
def test_reader_that_leaves_ends_a_command_silently(
    environ: dict[str, str], command: list[str]
) -> None:
    assert _run_unread(environ, *command) == (141, "")


@pytest.mark.parametrize("command", READS, ids=" ".join)
def test_closed_stdout_is_one_line(environ: dict[str, str], command: list[str]) -> None:
    line = "openpns: stdout: cannot write it (it is closed)\n"
    assert _run_closed(environ, 1, *command) == (7, "", line)


def test_closed_stderr_changes_nothing(environ: dict[str, str]) -> None:
    assert _run_closed(environ, 2, "customers", "list")[0] == 0
    assert _run_closed(environ, 2, "customers", "show", "nobody") == (3, "", "")


def test_unread_stderr_changes_nothing(environ: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert _run(environ, "customers", "show", "nobody", stderr=writer)[0] == 3
    os.close(writer)


def test_result_of_a_change_is_not_lost(environ: dict[str, str]) -> None:
    code, err = _run_unread(environ, "customers", "create", "cus_2", "--json")
    assert code == 7
    line, _, result = err.partition("\n")
    assert line == (
        "openpns: stdout: cannot write it (Broken pipe); the change was made, with this result:"
    )
    assert json.loads(result)["customerId"] == "cus_2"


@pytest.mark.usefixtures("server")
@on_sqlite_only
@pytest.mark.parametrize(
    "command",
    [
        ["groups", "create", "85211111114"],
        ["groups", "create", "85211111114", "--json"],
        ["request", "createGroup", "--data", '{"phones":"85211111114"}'],
    ],
    ids=" ".join,
)
def test_id_of_a_group_is_not_lost(command: list[str]) -> None:
    code, err = _run_unread(dict(os.environ), *command)
    listed = [*OPENPNS, "groups", "list", "-q"]
    (group_id,) = subprocess.check_output(listed, text=True).split()
    assert code == 7
    assert group_id in err


@pytest.mark.usefixtures("server")
@on_sqlite_only
def test_response_of_a_read_is_not_printed_on_stderr() -> None:
    assert _run_unread(dict(os.environ), "request", "getLimits") == (141, "")


def test_quickstart_disables_a_key_whose_secret_is_not_shown(
    environ: dict[str, str], tmp_path: Path
) -> None:
    quickstart = ("quickstart", "--port", "0", "--data", str(tmp_path))
    assert _run_unread(environ, *quickstart) == (141, "")  # before it makes a key
    code, err = _run_unread(environ, *quickstart)
    own = environ | {"OPENPNS_DATABASE": f"sqlite:///{tmp_path}/openpns.db"}
    ((name, made),) = _keys(own).items()
    assert code == 7
    assert err.endswith(f"; the access key {name} is disabled now\n")
    assert made["disabledMs"] is not None


def _keys(environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    listed = subprocess.check_output([*OPENPNS, "keys", "list", "--json"], env=environ)
    return {key["accessKey"]: key for key in json.loads(listed)}


def test_key_whose_secret_is_not_shown_is_disabled(environ: dict[str, str]) -> None:
    before = _keys(environ)
    code, err = _run_unread(environ, "keys", "create", "--customer", "cus_1")
    ((name, made),) = ((name, key) for name, key in _keys(environ).items() if name not in before)
    assert code == 7
    assert err == (
        "openpns: stdout: cannot write it (Broken pipe); the access key "
        f"{name} was created and is disabled now\n"
    )
    assert made["disabledMs"] is not None


def test_rotation_whose_secret_is_not_shown_is_undone(environ: dict[str, str]) -> None:
    shown = subprocess.check_output([*OPENPNS, "keys", "rotate", "old-key", "--json"], env=environ)
    code, err = _run_unread(environ, "keys", "rotate", "old-key")
    assert code == 7
    assert err == (
        "openpns: stdout: cannot write it (Broken pipe); the access key old-key has its old "
        "secret again\n"
    )
    code = """
import asyncio, os, sys
from openpns.accounts import access_keys, master_key
from openpns.cli.options import with_store
url = os.environ["OPENPNS_DATABASE"]
async def work(store):
    box = await master_key.open_secret_box(store, url, os.environ["OPENPNS_MASTER_KEY"])
    return await access_keys.get_secret(store, box, "old-key")
print(with_store(url, work))
"""
    secret = subprocess.check_output([sys.executable, "-c", code], env=environ, text=True)
    assert secret.strip() == json.loads(shown)["accessSecret"]


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "gbk", "utf-8"])
def test_json_keeps_its_value_in_every_encoding(environ: dict[str, str], encoding: str) -> None:
    command = [*OPENPNS, "customers", "show", "cus_1", "--json"]
    shown = subprocess.check_output(command, env=environ | {"PYTHONIOENCODING": encoding})
    # click takes ascii for a mistake, and writes UTF-8.
    text = shown.decode("utf-8" if encoding == "ascii" else encoding)
    assert json.loads(text)["name"] == "销售é😀"


def test_arguments_are_utf8_in_the_c_locale(environ: dict[str, str]) -> None:
    c_locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert _run(environ | c_locale, "customers", "create", "cus_3", "--name", "销售")[0] == 0
    shown = subprocess.check_output([*OPENPNS, "customers", "show", "cus_3", "--json"], env=environ)
    assert json.loads(shown)["name"] == "销售"


def test_failed_write_raises_once_and_later_output_is_dropped(tmp_path: Path) -> None:
    output = streams._Output(str(tmp_path / "out"), "w")
    os.close(output.fileno())
    with pytest.raises(streams.OutputFailed, match="stdout: cannot write it"):
        output.write(b"1")
    assert output.write(b"23") == 2
    with suppress(OSError):  # the descriptor is closed already
        output.close()


@pytest.mark.parametrize("kind", [streams._Output, streams._Messages])
def test_write_waits_for_a_reader_that_is_slow(kind: type[io.FileIO]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    output = kind(writer, "w")
    pipe_bytes = 0
    with suppress(BlockingIOError):
        while True:
            pipe_bytes += os.write(writer, bytes(4096))
    reading = subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.PIPE)
    os.close(reader)
    assert output.write(b"last") == 4
    output.close()
    read, _ = reading.communicate()
    assert len(read) == pipe_bytes + 4


UNREAD = """
import os, signal, sys
from openpns.cli.streams import standard_streams
from openpns.kit.interrupts import as_interrupts, run_loop
async def write():
    print("x" * 100_000, flush=True)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if the tests run in background
with as_interrupts() as exit_code:
    try:
        with standard_streams():
            run_loop(write()) if sys.argv[1] == "loop" else print("x" * 100_000, flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(exit_code())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("place", ["loop", "no loop"])
def test_signal_ends_a_command_whose_output_nobody_reads(
    number: signal.Signals, place: str
) -> None:
    reader, writer = os.pipe()
    command = [sys.executable, "-c", UNREAD, place]
    size = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
    running = subprocess.Popen(command, stdout=writer, stderr=writer)
    try:
        while _waiting_bytes(reader) < size:  # once it is full, the command waits for a reader
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(number)
        assert running.wait(timeout=60) == 128 + number
    finally:
        running.kill()
        running.wait()
        os.close(writer)
        os.close(reader)


def _waiting_bytes(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_result_of_a_change_is_not_lost_by_an_interrupt(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(io.StringIO):
        def write(self, _: str) -> int:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", Interrupted())
    with pytest.raises(KeyboardInterrupt), streams.change_result():
        click.echo("group-1")
    assert capsys.readouterr().err == (
        "openpns: interrupted; the change was made, with this result:\ngroup-1\n"
    )


def test_command_goes_on_after_a_result_that_cannot_be_written() -> None:
    code = """
import click
from openpns.cli.streams import change_result, standard_streams
with standard_streams():
    for result in ("first", "second"):
        with change_result():
            click.echo(result)
    click.echo("the rest", err=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, "1", sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stderr.startswith(
        "openpns: stdout: cannot write it (it is closed); the change was made, with this result:\n"
        "first\nsecond\nthe rest\n"
    )
    assert "OutputFailed" in done.stderr  # at the end


def test_result_of_a_change_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys, "stdout", screen := io.StringIO())
    monkeypatch.setattr(screen, "isatty", lambda: True)
    with streams.change_result():
        print_table(("name", "label"), [("a" * 15, "b" * 15)], empty="none")
    assert max(map(len, screen.getvalue().splitlines())) <= 22
