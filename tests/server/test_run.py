import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.helpers import MASTER_KEY, on_sqlite_only

from openpns.errors import ConfigError
from openpns.server import run
from openpns.server.config import Settings, load_settings

pytestmark = [on_sqlite_only, pytest.mark.usefixtures("store")]


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("OPENPNS_MASTER_KEY", MASTER_KEY)
    monkeypatch.setattr("os.environ", dict(os.environ))  # what run sets ends with the test
    return load_settings({"database": database_url, "port": 0}, {})


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def _refused(settings: Settings, **changed: Any) -> str:
    given = {name: getattr(settings, name) for name in ("database", "port")} | changed
    with pytest.raises(ConfigError) as error:
        run.run(load_settings(given, {}))
    return str(error.value)


def test_a_port_in_use_is_named(settings: Settings, taken_port: int) -> None:
    assert _refused(settings, port=taken_port) == (
        f"port: cannot listen on '127.0.0.1' port {taken_port}: another program listens there; "
        "stop it, or choose another port"
    )


def test_an_admin_port_in_use_is_named(settings: Settings, taken_port: int) -> None:
    text = _refused(settings, admin_port=taken_port)
    assert text.startswith(f"admin_port: cannot listen on '127.0.0.1' port {taken_port}: another")


def test_an_address_that_is_not_this_machines_is_named(settings: Settings) -> None:
    text = _refused(settings, host="192.0.2.1")
    assert text == "port: cannot listen on '192.0.2.1' port 0: this machine has no such address"


@pytest.mark.parametrize("host", ["::x", "", "a" * 70])
@pytest.mark.parametrize("setting", ["host", "admin_host"])
def test_a_host_that_is_no_address_is_named(settings: Settings, setting: str, host: str) -> None:
    text = _refused(settings, **{"admin_port": 0, setting: host})
    assert f"cannot listen on {host!r} port 0: this is no address" in text


def test_a_port_below_1024_needs_rights_and_the_text_says_so() -> None:
    refused = PermissionError(errno.EACCES, "Permission denied")
    text = str(run._port_error("port", "127.0.0.1", 80, refused))
    assert text.endswith("ports below 1024 need rights that this user lacks; choose a higher one")


def test_another_error_of_the_system_is_told_in_its_own_words() -> None:
    text = str(run._port_error("port", "127.0.0.1", 80, OSError(errno.ENOBUFS, "No buffer space")))
    assert text.endswith("No buffer space")


def test_a_wrong_master_key_keeps_the_server_from_starting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "OPENPNS_MASTER_KEY", "short")
    assert _refused(settings).startswith("OPENPNS_MASTER_KEY: not a master key; allowed is")


def test_an_ipv6_address_stands_in_brackets_in_a_url() -> None:
    assert run._in_url("::1") == "[::1]"
    assert run._in_url("127.0.0.1") == "127.0.0.1"
