import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import direct

from openpns.core import logs
from openpns.server import readiness
from openpns.server.config import load_settings
from openpns.server.readiness import Readiness, State
from openpns.server.settings import Settings

RESPONSE = b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture
async def api_port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """A port that gives each request the parameter as response; with None, none at all."""
    response = getattr(request, "param", RESPONSE)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if response is None:
                await reader.read()
            else:
                writer.write(response)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def settings(database: str, port: int, timeout_ms: int = 5000) -> Settings:
    given = {
        "database": database,
        "port": port,
        "readiness_timeout_ms": timeout_ms,
        "storage_timeout_ms": 2000,
    }
    return load_settings(given, {})


@pytest.fixture
def _database_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(_: Settings) -> int:
        return 0

    monkeypatch.setattr(readiness, "_check_database", check)


@pytest.mark.usefixtures("store")
async def test_server_is_ready_with_database_and_worker(database_url: str, api_port: int) -> None:
    assert await Readiness(settings(database_url, api_port)).find() == State()


HELD = "calls are held since a restore, customers: 2; see openpns bindings confirm"


@pytest.mark.usefixtures("context", "stranger")
async def test_server_is_ready_while_calls_of_customers_are_held(
    database_url: str, api_port: int
) -> None:
    await direct.run(database_url, "UPDATE customer_state SET bindings_held_ms = 1")
    assert await Readiness(settings(database_url, api_port)).find() == State(None, HELD)


async def test_missing_migrations_are_named_with_their_command(
    database_url: str, tmp_path: Path, api_port: int
) -> None:
    (tmp_path / "test.db").touch()
    fault = (await Readiness(settings(database_url, api_port)).find()).fault
    assert "openpns migrate" in str(fault)


@pytest.mark.parametrize("url", ["sqlite:///{}/gone.db", "postgresql://u:hunter22@127.0.0.1:1/x"])
async def test_missing_database_is_named_without_password(
    tmp_path: Path, url: str, api_port: int
) -> None:
    fault = (await Readiness(settings(url.format(tmp_path), api_port)).find()).fault
    assert str(fault).startswith("database: ")
    assert "hunter22" not in str(fault)


@pytest.mark.usefixtures("_database_answers")
@pytest.mark.parametrize(
    ("api_port", "fault"),
    [
        (None, "API port: no answer within 100 ms"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "API port: not the expected response"),
        (b"", "API port: not the expected response"),
    ],
    indirect=["api_port"],
)
async def test_worker_that_does_not_answer_is_a_fault(api_port: int, fault: str) -> None:
    timeout_ms = 100 if "no answer" in fault else 5000
    assert (await Readiness(settings("-", api_port, timeout_ms)).find()).fault == fault


@pytest.mark.usefixtures("_database_answers")
async def test_closed_api_port_is_a_fault() -> None:
    fault = (await Readiness(settings("-", 1)).find()).fault
    assert str(fault).startswith("API port: ")


async def test_unexpected_error_is_logged_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], api_port: int
) -> None:
    async def fail(_: object) -> None:
        raise RuntimeError("hunter22")

    logs.configure("json", "info")
    monkeypatch.setattr(readiness, "open_checked", fail)
    assert (await Readiness(settings("-", api_port)).find()).fault == "see the server's log"
    line = capsys.readouterr().err
    assert "RuntimeError" in line
    assert "hunter22" not in line


async def test_concurrent_and_later_requests_share_a_check_and_its_connection(
    monkeypatch: pytest.MonkeyPatch, api_port: int
) -> None:
    connections: list[int] = []
    go_on = threading.Event()

    async def check(used: Settings) -> int:
        connections.append(used.postgres_connections_max)
        assert go_on.wait(10)
        return 0

    monkeypatch.setattr(readiness, "_check_database", check)
    monkeypatch.setattr(readiness, "_SHARED_S", 1000.0)
    checks = Readiness(settings("-", api_port))
    waiting = [asyncio.create_task(checks.find()) for _ in range(5)]
    waiting[0].cancel()  # its client went away
    go_on.set()
    assert await asyncio.gather(*waiting[1:]) == [State()] * 4
    assert await checks.find() == State()
    assert connections == [1]
    monkeypatch.setattr(readiness, "_SHARED_S", 0.0)
    assert await checks.find() == State()
    assert len(connections) == 2


async def test_database_that_hangs_is_asked_by_one_thread_only(
    monkeypatch: pytest.MonkeyPatch, api_port: int
) -> None:
    asked: list[Settings] = []
    go_on = threading.Event()

    async def check(used: Settings) -> int:
        asked.append(used)
        assert go_on.wait(10)
        return 0

    monkeypatch.setattr(readiness, "_check_database", check)
    monkeypatch.setattr(readiness, "_SHARED_S", 0.0)
    checks = Readiness(settings("-", api_port, timeout_ms=100))
    for _ in range(3):
        assert (await checks.find()).fault == "database: no answer within 100 ms"
    go_on.set()
    assert len(asked) == 1
