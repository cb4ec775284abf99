import http.client
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from openpns.api.counters import create_counter_file
from openpns.core import logs
from openpns.errors import OpenPNSError
from openpns.server import admin
from openpns.server.admin import AdminServer
from openpns.server.config import Settings, load_settings

Get = Callable[[str], tuple[int, str, str]]
Start = Callable[[str], Get]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an admin port for a database; return a function that sends a GET to it."""
    counters = create_counter_file(1)
    running: list[AdminServer] = []

    def begin(url: str) -> Get:
        server = AdminServer(
            load_settings({"database": url, "admin_port": 0, "storage_timeout_ms": 2000}, {}),
            counters,
        )
        server.start()
        running.append(server)

        def get(path: str) -> tuple[int, str, str]:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1])
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                content_type = response.getheader("content-type") or ""
                return response.status, content_type, response.read().decode()
            finally:
                connection.close()

        return get

    yield begin
    for server in running:
        server.stop()
    os.close(counters)


@pytest.mark.usefixtures("store")
def test_healthz_and_readyz_return_200_with_database(start: Start, database_url: str) -> None:
    get = start(database_url)
    assert get("/healthz")[::2] == (200, "ok\n")
    assert get("/readyz")[::2] == (200, "ready\n")
    assert get("/readyz?verbose")[0] == 200


def test_readyz_without_migrations_names_command(
    start: Start, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "test.db").touch()
    get = start(database_url)
    status, _, body = get("/readyz")
    assert status == 503
    assert "openpns migrate" in body
    assert get("/healthz")[0] == 200


@pytest.mark.parametrize("url", ["sqlite:///{}/gone.db", "postgresql://u:hunter22@127.0.0.1:1/x"])
def test_readyz_without_database_returns_503_and_healthz_200(
    start: Start, tmp_path: Path, url: str
) -> None:
    get = start(url.format(tmp_path))
    status, _, body = get("/readyz")
    assert status == 503
    assert body.startswith("not ready: database: ")
    assert "hunter22" not in body
    assert get("/healthz")[0] == 200


def test_readyz_returns_503_and_logs_unexpected_error(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(_: object) -> None:
        raise RuntimeError("hunter22")

    assert not issubclass(RuntimeError, OpenPNSError)
    logs.configure("json", "info")
    monkeypatch.setattr(admin, "open_checked", fail)
    status, _, body = start("sqlite:///x.db")("/readyz")
    assert (status, body) == (503, "not ready: see the server's log\n")
    line = capsys.readouterr().err
    assert "RuntimeError" in line
    assert "hunter22" not in line


def test_readyz_concurrent_requests_share_check_and_connection(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[int] = []
    checking, go_on = threading.Event(), threading.Event()

    async def check(settings: Settings) -> None:
        connections.append(settings.postgres_connections_max)
        checking.set()
        assert go_on.wait(10)

    arrived, readyz = [], AdminServer._readyz

    def count(self: AdminServer) -> admin.Response:
        arrived.append(self)
        return readyz(self)

    monkeypatch.setattr(admin, "_check_storage", check)
    monkeypatch.setattr(AdminServer, "_readyz", count)
    get = start("sqlite:///x.db")
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(get, "/readyz")
        assert checking.wait(10)
        # These arrive during the first check, so its result is too old for them.
        others = [pool.submit(get, "/readyz") for _ in range(5)]
        while len(arrived) < 6:
            threading.Event().wait(0.01)
        go_on.set()
        assert {probe.result(10)[0] for probe in (first, *others)} == {200}
    assert connections[0] == 1
    assert 2 <= len(connections) < 6
    assert get("/readyz")[0] == 200
    assert len(connections) >= 3


def test_metrics_parse_as_prometheus_text(start: Start) -> None:
    status, content_type, body = start("sqlite:///x.db")("/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=0.0.4")
    families = {family.name for family in text_string_to_metric_families(body)}
    assert {"openpns_build_info", "openpns_requests_in_flight"} <= families


def test_unknown_path_returns_404_and_lists_paths(start: Start) -> None:
    status, _, body = start("sqlite:///x.db")("/")
    assert status == 404
    assert "/healthz, /readyz, /metrics" in body


def test_stop_frees_port() -> None:
    counters = -1  # not read
    first = AdminServer(load_settings({"database": "-", "admin_port": 0}, {}), counters)
    first.start()
    port = first.server_address[1]
    first.stop()
    second = AdminServer(load_settings({"database": "-", "admin_port": port}, {}), counters)
    assert second.server_address[1] == port
    second.server_close()
    assert not [thread for thread in threading.enumerate() if thread.name == "admin"]
