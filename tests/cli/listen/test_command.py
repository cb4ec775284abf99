"""The command as a real process."""

import http.client
import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from tests.cli.conftest import Run
from tests.cli.listen.conftest import Target
from tests.processes import OPENPNS, Process, free_port, run_openpns
from tests.webhooks.vectors import OTHER_SECRET, RECORD, SECRET, TEST

from openpns.cli.listen import command
from openpns.webhooks import signed_headers

BODY = RECORD["body"].encode()
Listen = Callable[..., Process]

pytestmark = pytest.mark.slow


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Starts `openpns listen` on a free port; the secret is in the environment."""
    running: list[Process] = []

    def start(*arguments: str, secret: str = SECRET) -> Process:
        log = tmp_path / f"listen-{len(running)}.log"
        environ = {"OPENPNS_WEBHOOK_SECRET": secret}
        process = Process(["listen", "--port", "0", *arguments], log, environ)
        running.append(process)
        process.port = int(process.wait_for(r"http://127\.0\.0\.1:([0-9]+)/ until Ctrl-C")[1])
        return process

    yield start
    for process in running:
        if process.process.poll() is None:
            process.stop()
        assert SECRET[6:] not in process.log.read_text("utf-8")


def send(process: Process, body: bytes = BODY, secret: str = SECRET, number: int = 1) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=60)
    headers = signed_headers(body, secret, message_id=f"msg_{number}")
    connection.request("POST", "/", body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_event_is_printed_until_a_signal_ends_the_command(listen: Listen, number: int) -> None:
    # A run in the background ignores some signals, and the command would inherit that.
    before = signal.signal(number, lambda *_: None)
    try:
        process = listen()
    finally:
        signal.signal(number, before)
    assert send(process) == 200
    assert send(process, BODY + b" ", number=2) == 200
    printed = process.log.read_text("utf-8").splitlines()[1:]
    assert [line.split("  ")[1:3] for line in printed] == [
        ["callRecord", "msg_1"],
        ["callRecord", "msg_2"],
    ]
    assert process.stop(number) == 0


def test_delivery_with_another_secret_is_refused_on_stderr(listen: Listen) -> None:
    process = listen()
    assert send(process, secret=OTHER_SECRET) == 401
    last = process.log.read_text("utf-8").splitlines()[-1]
    assert last.startswith("openpns: refused with 401: webhook-signature: does not match; ")


def test_both_secrets_of_a_rotation_are_accepted(listen: Listen) -> None:
    process = listen(secret=f"{OTHER_SECRET},{SECRET}")
    assert [send(process), send(process, secret=OTHER_SECRET)] == [200, 200]


def test_events_are_forwarded_and_fail_first(listen: Listen, target: Target) -> None:
    process = listen("--forward", target.url, "--fail", "1", "--status", "503", "--drop-repeats")
    assert [send(process) for _ in range(3)] == [503, 202, 200]
    ((_, headers, body),) = target.received
    assert body == BODY
    assert {name.lower() for name, _ in headers} >= {"webhook-id", "webhook-signature"}
    printed = process.log.read_text("utf-8").splitlines()[1:]
    assert [line.split("  ")[-2:] for line in printed] == [
        ["attempt 1", "503"],
        ["attempt 2", "202"],
    ]


def test_json_is_one_object_per_line(listen: Listen) -> None:
    process = listen("--json")
    assert send(process, TEST["body"].encode()) == 200
    (line,) = process.log.read_text("utf-8").splitlines()[1:]
    assert json.loads(line)["body"] == json.loads(TEST["body"])


def test_numbers_are_shown_on_request() -> None:
    arguments = [*OPENPNS, "listen", "--port", "0", "--show-numbers"]
    with subprocess.Popen(
        arguments,
        env=os.environ | {"OPENPNS_WEBHOOK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(process.stderr.readline().split(":")[-1].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/", BODY, signed_headers(BODY, SECRET))
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"received\n")
        assert "85211111111 -> 85290000001 -> 85222222222" in process.stdout.readline()
        # The reader leaves: the next event cannot be printed, and is not accepted.
        process.stdout.close()
        connection.request("POST", "/", BODY, signed_headers(BODY, SECRET))
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse()
        connection.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""


def test_secret_is_read_from_a_file_or_stdin(
    run_anywhere: Run, tmp_path: Path, listen: Listen
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n{OTHER_SECRET}\n", "utf-8")
    file.chmod(0o600)
    process = listen("--secret-file", str(file), secret="ignored")
    assert [send(process), send(process, secret=OTHER_SECRET)] == [200, 200]
    taken = ["--port", str(process.port)]
    # Whatever is wrong with the secret is reported first.
    done = run_anywhere("listen", *taken, "--secret-file", "-", stdin=SECRET.encode(), code=2)
    assert "cannot listen on" in done.err
    done = run_anywhere("listen", *taken, "--secret-file", "-", stdin=b"hunter22", code=2)
    assert done.err.startswith("openpns: webhook secret: number 1 of 1 is not one; allowed is ")
    assert "hunter22" not in done.err


def test_file_with_a_secret_that_others_can_read_is_refused(
    run_anywhere: Run, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET, "utf-8")
    file.chmod(0o604)
    done = run_anywhere("listen", "--secret-file", str(file), code=2)
    assert done.err.startswith(f"openpns: {file}: holds a webhook's secret, but others can use it")
    assert stat.S_IMODE(file.stat().st_mode) == 0o604


def test_file_that_is_no_text_is_refused(run_anywhere: Run, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    done = run_anywhere("listen", "--secret-file", str(file), code=2)
    assert done.err == f"openpns: {file}: cannot read it (No such file or directory)\n"
    file.write_bytes(b"whsec_\xff")
    file.chmod(0o600)
    done = run_anywhere("listen", "--secret-file", str(file), code=2)
    assert done.err == f"openpns: {file}: line 1: is not UTF-8\n"


def test_file_without_a_secret_is_named(run_anywhere: Run, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" \n", "utf-8")
    file.chmod(0o600)
    done = run_anywhere("listen", "--secret-file", str(file), code=2)
    assert done.err.startswith(f"openpns: {file}: has no secret; allowed are ")


def test_body_that_is_too_large_is_refused_on_stderr(listen: Listen) -> None:
    process = listen()
    assert send(process, b"x" * 1_100_000) == 413
    last = process.log.read_text("utf-8").splitlines()[-1]
    assert last == "openpns: refused with 413: the body is larger than 1048576 bytes"


def test_missing_secret_is_one_line(run_anywhere: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENPNS_WEBHOOK_SECRET", raising=False)
    done = run_anywhere("listen", code=2)
    assert done.err == (
        "openpns: the webhook's secret: not set; give it in OPENPNS_WEBHOOK_SECRET or in "
        "--secret-file FILE\n"
    )


def test_terminal_is_asked_for_the_secret(
    monkeypatch: pytest.MonkeyPatch, run_anywhere: Run
) -> None:
    asked: list[dict[str, Any]] = []

    def prompt(_: str, **options: Any) -> str:
        asked.append(options)
        return "hunter22"

    monkeypatch.delenv("OPENPNS_WEBHOOK_SECRET", raising=False)
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    monkeypatch.setattr(click, "prompt", prompt)
    done = run_anywhere("listen", code=2)
    assert done.err.startswith("openpns: webhook secret: number 1 of 1 is not one")
    assert "hunter22" not in done.err
    assert asked == [{"hide_input": True, "err": True}]


def test_options_that_exclude_each_other_are_refused(run_anywhere: Run) -> None:
    done = run_anywhere("listen", "--forward", "http://127.0.0.1:1/", "--status", "204", code=2)
    assert "--status and --forward exclude each other" in done.err
    done = run_anywhere("listen", "--status", "199", code=2)
    assert "200<=x<=599" in done.err


def test_forward_url_that_cannot_be_used_is_refused(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPNS_WEBHOOK_SECRET", SECRET)
    done = run_anywhere("listen", "--forward", "127.0.0.1:80", code=2)
    assert done.err.startswith("openpns: --forward: not a URL that can be used")


def test_forward_by_plain_http_to_another_machine_is_warned_of(listen: Listen) -> None:
    process = listen("--forward", f"http://192.0.2.1:{free_port()}/")
    first = process.log.read_text("utf-8").splitlines()[0]
    assert first.startswith("openpns: --forward is plain HTTP to another machine: anybody on the")


def test_missing_library_is_named() -> None:
    program = (
        "import sys; sys.modules['standardwebhooks'] = None; sys.argv = ['openpns', 'listen']\n"
        "from openpns.cli.main import main; main()"
    )
    done = subprocess.run([OPENPNS[0], "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("install them with: pip install 'openpns[webhooks]'\n")
    assert "standardwebhooks" in done.stderr
    assert run_openpns("listen", "--help").returncode == 0
