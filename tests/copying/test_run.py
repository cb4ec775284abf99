"""A whole database is copied while a server writes to it, in all four directions."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.copying.scene import QUESTION, TOKEN, Writers, every_row, fill_all
from tests.databases import PostgresDatabases
from tests.processes import MASTER_KEY, Start, run_openpns

RUN = """
import os, signal, sys
from openpns.cli.main import main
from openpns.copying import run
from openpns.storage.postgres.copying import PostgresEndpoint
from openpns.storage.sqlite.copying import SQLiteEndpoint
run._PAGE_ROWS, run._CHANGES_EACH = 30, 500
method, left = sys.argv.pop(1), int(sys.argv.pop(1))

def dying(call):
    async def wrapped(*arguments):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return await call(*arguments)
    return wrapped

for kind in (PostgresEndpoint, SQLiteEndpoint):
    setattr(kind, method, dying(getattr(kind, method)))
main()
"""
"""Runs the command line with small pages, and kills it at a call of a method of an endpoint."""

KILLS = (("save", 50), ("forget", 2), ("move", 1), ("finish", 1))
"""In the transaction of a page, after changes were copied, in the freeze, and after it."""

READ = {"limit": 1000, "offset": 0}
NEW = {"phones": "85244444444"}


@pytest.fixture(params=["sqlite", "postgres"])
def target(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_databases: PostgresDatabases
) -> Iterator[str]:
    """The URL of a database that does not exist, or is empty."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'target.db'}"
        return
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


def copy(source: str, target: str, method: str = "cancel", count: int = 0) -> tuple[int, str, str]:
    """Run the command; it is killed at a call of a method. Return its code and what it printed."""
    arguments = ["copy", "--from", source, "--to", target, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, method, str(count), *arguments],
        env=os.environ | {"OPENPNS_MASTER_KEY": MASTER_KEY},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_copy_while_servers_write(
    serve: Start, start: Start, served_url: str, target: str, tmp_path: Path
) -> None:
    server = serve()
    fill_all(served_url, server)
    heads = tmp_path / "heads"
    heads.write_text(run_openpns("audit", "head", "--database", served_url).stdout)
    with Writers(server).running() as writers:
        for method, count in KILLS:
            assert copy(served_url, target, method, count) == (-signal.SIGKILL, "", "")
        code, out, err = copy(served_url, target)
        assert (code, err) == (0, "")
        done = json.loads(out)
    assert writers.codes <= {0, 10013, 19004}
    have, there = (every_row(url, without_hold=True) for url in (served_url, target))
    assert have == there
    assert {name: len(rows) for name, rows in there.items()} == {
        name: table["rows"] for name, table in done["tables"].items()
    }
    # Entries may all be sealed at the moment of the move.
    empty = {name for name, rows in there.items() if not rows}
    assert empty <= {"audit_backlog", "audit_pruning", "audit_unsealed"}

    stored = {str(value) for row in there["number_group"] for value in row}
    assert {*writers.acknowledged} <= stored
    assert len(writers.acknowledged) > 10

    # The source is of no use any more.
    assert server.call("createGroup", NEW)["code"] == 19004
    assert server.call("queryAXB", QUESTION)["code"] == 10013
    assert server.call("listGroup", READ)["data"]["total"] > 0
    refused = run_openpns("serve", "--database", served_url, "--port", "0")
    assert refused.returncode == 2
    assert "it was copied to another one" in refused.stderr

    # The target answers as the source did, and makes new ids.
    other = start("serve", "--database", target, "--port", "0")
    assert other.call("listGroup", READ)["data"] == server.call("listGroup", READ)["data"]
    assert other.call("queryAXB", QUESTION)["data"]["callee"] == "85222222222"
    total = other.call("listGroup", READ)["data"]["total"]
    assert other.call("createGroup", TOKEN)["code"] == 0
    assert other.call("listGroup", READ)["data"]["total"] == total
    for _ in range(3):
        assert other.call("createGroup", NEW)["code"] == 0
        asked = other.call("queryAXB", QUESTION)["data"]
        report = {"callId": asked["callId"], "startAt": 1670479632, "hangupAt": 1670479699}
        assert other.call("reportCall", report)["data"]["id"] > 3
    assert other.stop() == 0
    verified = run_openpns("verify", "--database", target, "--audit-heads", str(heads))
    assert verified.returncode == 0, verified.stderr
