import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.helpers import MASTER_KEY, on_sqlite_only
from tests.processes import free_port

from openpns.errors import ConfigError
from openpns.server import run
from openpns.server.config import load_settings
from openpns.server.settings import Settings
from openpns.transport.sockets import port_error

pytestmark = [on_sqlite_only, pytest.mark.usefixtures("store")]


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("OPENPNS_MASTER_KEY", MASTER_KEY)
    monkeypatch.setattr("os.environ", dict(os.environ))  # restored after the test
    return load_settings({"database": database_url, "port": 0}, {})


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def _refused(settings: Settings, **changed: Any) -> str:
    given = {name: getattr(settings, name) for name in ("database", "port")} | changed
    given["core_dumps"] = "on"  # this process is not the server's
    with pytest.raises(ConfigError) as error:
        run.run(load_settings(given, {}))
    return str(error.value)


def test_run_names_port_in_use(settings: Settings, used_port: int) -> None:
    assert _refused(settings, port=used_port) == (
        f"port: cannot listen on '127.0.0.1' port {used_port}: another program listens there; "
        "stop it, or choose another port"
    )


def test_run_names_admin_port_in_use(settings: Settings, used_port: int) -> None:
    text = _refused(settings, admin_port=used_port)
    assert text.startswith(f"admin_port: cannot listen on '127.0.0.1' port {used_port}: another")


@pytest.mark.parametrize("admin_host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_run_refuses_one_port_for_both(settings: Settings, admin_host: str) -> None:
    port = free_port()
    text = _refused(settings, port=port, admin_port=port, admin_host=admin_host)
    assert text == f"admin_port: must differ from port, which is {port}, too"


def test_run_warns_of_an_unknown_variable_and_a_wrong_clock(
    settings: Settings,
    used_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENPNS_WORKER", "geheim")
    monkeypatch.setattr(run, "now_ms", lambda: 1_000_000)
    _refused(settings, port=used_port)
    unknown, clock = capsys.readouterr().err.splitlines()
    assert "unknown variable" in unknown
    assert "meant=OPENPNS_WORKERS" in unknown
    assert "geheim" not in unknown
    assert "clock" in clock


def test_run_names_address_of_other_machine(settings: Settings) -> None:
    text = _refused(settings, host="192.0.2.1")
    assert text == "port: cannot listen on '192.0.2.1' port 0: this machine has no such address"


@pytest.mark.parametrize("host", ["::x", "", "a" * 70])
@pytest.mark.parametrize("setting", ["host", "admin_host"])
def test_run_names_invalid_host(settings: Settings, setting: str, host: str) -> None:
    text = _refused(settings, **{"admin_port": 0, setting: host})
    assert f"cannot listen on {host!r} port 0: it is not an address" in text


def test_port_error_explains_missing_rights() -> None:
    refused = PermissionError(errno.EACCES, "Permission denied")
    text = str(port_error("port", "127.0.0.1", 80, refused))
    assert text.endswith("ports below 1024 need rights that this user lacks; choose a higher one")


def test_port_error_contains_text_of_other_system_errors() -> None:
    text = str(port_error("port", "127.0.0.1", 80, OSError(errno.ENOBUFS, "No buffer space")))
    assert text.endswith("No buffer space")


def test_run_refuses_invalid_master_key(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "OPENPNS_MASTER_KEY", "short")
    assert _refused(settings).startswith("OPENPNS_MASTER_KEY: not a master key; allowed is")
