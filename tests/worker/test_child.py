import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.helpers import MASTER_KEY

from openpns.core import logs
from openpns.deliveries import counters
from openpns.deliveries.counters import DeliveryCounters
from openpns.deliveries.settings import DeliverySettings
from openpns.errors import ConfigError
from openpns.worker import child


@pytest.fixture(autouse=True)
def _signals_are_handled() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The write end of a pipe that is this process's stdin."""
    readable, writable = os.pipe()
    with os.fdopen(readable) as opened:
        monkeypatch.setattr("sys.stdin", opened)
        yield writable
    with contextlib.suppress(OSError):
        os.close(writable)


async def test_child_waits_for_its_database_and_ends_with_its_parent(
    stdin: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "info")
    monkeypatch.setattr(child, "_RETRY_S_MIN", 0.001)
    tries = 0

    async def deliver(*given: Any) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConfigError("database: is away")
        given[4](None)
        os.close(stdin)  # the parent ends
        await given[3].wait()

    monkeypatch.setattr(child, "deliver", deliver)
    settings = DeliverySettings(database="sqlite:///x.db")
    await asyncio.wait_for(child.serve(settings, None, DeliveryCounters()), 30)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        *["deliveries wait to start"] * 3,
        "delivering to webhooks",
    ]
    assert lines[0]["why"] == "database: is away"


def test_child_that_fails_logs_one_line_without_the_error_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("hunter22")

    settings = DeliverySettings(database="sqlite:///x.db", core_dumps="on")
    line = json.dumps(msgspec.to_builtins((settings, MASTER_KEY))).encode() + b"\n"
    (tmp_path / "stdin").write_bytes(line)
    descriptor = counters.create_file(1)
    monkeypatch.setattr(child, "serve", fail)
    monkeypatch.setattr("sys.argv", ["", str(descriptor)])
    with (tmp_path / "stdin").open("rb") as stdin:
        monkeypatch.setattr(child, "open", lambda *_, **__: stdin, raising=False)
        with pytest.raises(SystemExit) as ended:
            child.main()
    os.close(descriptor)
    assert ended.value.code == 1
    (logged,) = capsys.readouterr().err.splitlines()
    assert "ValueError" in logged
    assert "hunter22" not in logged
