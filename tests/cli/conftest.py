"""Runs the command line in this process and captures its exit code and output."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner
from tests.cli.proxy import Proxy
from tests.helpers import MASTER_KEY
from tests.processes import KEY_OF, SharedServer

from openpns.cli.main import main
from openpns.client import exchange


@dataclass
class Done:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Run(Protocol):
    """Runs `openpns` with arguments; the database is in the environment. None allows any code."""

    def __call__(self, *arguments: str, stdin: bytes = b"", code: int | None = 0) -> Done: ...


@pytest.fixture
def run_anywhere(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `openpns` without a database in the environment."""

    def run(*arguments: str, stdin: bytes = b"", code: int | None = 0) -> Done:
        monkeypatch.setattr(sys, "argv", ["openpns", *arguments])
        with CliRunner().isolation(stdin) as (out, err, _):
            try:
                main()
            except SystemExit as ended:
                done = Done(int(ended.code or 0), out.getvalue().decode(), err.getvalue().decode())
        assert code in (None, done.code), done
        return done

    return run


@pytest.fixture
def run(run_anywhere: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `openpns` on an empty database."""
    monkeypatch.setenv("OPENPNS_DATABASE", database_url)
    monkeypatch.setenv("OPENPNS_MASTER_KEY", MASTER_KEY)
    return run_anywhere


@pytest.fixture
def openpns(run: Run, migrated: None) -> Run:
    """Runs `openpns` on a migrated database with the customer cus_1."""
    run("customers", "create", "cus_1", "--name", "Example")
    return run


@pytest.fixture(scope="session")
def _shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    folder = tmp_path_factory.mktemp("shared-server")
    shared = SharedServer(f"sqlite:///{folder / 'shared.db'}", folder)
    yield shared
    shared.process.stop()


@pytest.fixture
async def server(
    _shared_server: SharedServer,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> SharedServer:
    """A running server without groups; the environment has its URL and a key of cus_1.

    One process serves all tests. Each test replaces its database: the server validates its cache
    by the revision in the database.
    """
    assert database_url.startswith("sqlite")
    # The usual number of retries, with shorter pauses.
    monkeypatch.setattr(exchange, "BACKOFF_S", 0.01)
    await _shared_server.reset()
    call_as("cus_1", _shared_server.port, monkeypatch, tmp_path)
    return _shared_server


@pytest.fixture
def proxy(server: SharedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy between client and server that can inject faults."""
    proxy = Proxy(server.port)
    call_as("cus_1", proxy.port, monkeypatch, tmp_path)
    yield proxy
    proxy.close()


def call_as(customer: str, port: int, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Set the environment to a server and a customer's access key."""
    access_key, secret = KEY_OF[customer]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setenv("OPENPNS_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", access_key)
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", secret)
