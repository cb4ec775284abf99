"""The command line in this process: its exit code, what it printed and where."""

import json
import sys
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from click.testing import CliRunner
from tests.helpers import MASTER_KEY

from openpns.cli.main import main
from openpns.storage.store import Store


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Run(Protocol):
    """Runs `openpns` with arguments; the database is in the environment."""

    def __call__(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> Done: ...


@pytest.fixture
def run_anywhere(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `openpns` without a database in the environment."""

    def run(*arguments: str, stdin: bytes = b"", code: int = 0) -> Done:
        monkeypatch.setattr(sys, "argv", ["openpns", *arguments])
        with CliRunner().isolation(stdin) as (out, err, _):
            try:
                main()
            except SystemExit as ended:
                done = Done(int(ended.code or 0), out.getvalue().decode(), err.getvalue().decode())
        assert done.code == code, done
        return done

    return run


@pytest.fixture
def run(run_anywhere: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `openpns` on an empty database."""
    monkeypatch.setenv("OPENPNS_DATABASE", database_url)
    monkeypatch.setenv("OPENPNS_MASTER_KEY", MASTER_KEY)
    return run_anywhere


@pytest.fixture
def openpns(run: Run, store: Store) -> Run:
    """Runs `openpns` on a migrated database with the customer cus_1."""
    run("customers", "create", "cus_1", "--name", "Example")
    return run
