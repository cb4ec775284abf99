"""A pair of pre and post migrations under traffic, with servers of two versions side by side.

The new version is a copy of the package with a made-up migration 9: `pre` adds a column to the
groups, `post` removes a column of the access keys. Its statements use the first and not the second.
"""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests import direct
from tests.processes import Process, Start, run_openpns
from tests.promises.traffic import SEED, Writer, running, shown_groups, wait_until

import openpns
from openpns.storage import migrations

NUMBER = migrations.newest() + 1
STEPS = {
    "pre": "ALTER TABLE number_group ADD COLUMN made_by text NOT NULL DEFAULT 'old';",
    "post": "ALTER TABLE access_key DROP COLUMN rate_burst;",
}
RECORDED = f"""\
step {NUMBER} pre
+\tcolumn\tnumber_group\tmade_by\tpg_catalog.text collation default not null default 'old'::text
step {NUMBER} post
-\tcolumn\taccess_key\trate_burst
"""
"""What tools/postgres_schema.py would add for these steps."""
CHANGES = {
    "groups/groups.sql": [
        ("updated_ms, phones\n) VALUES (", "updated_ms, phones, made_by\n) VALUES ("),
        (":now_ms, :now_ms, :phones\n)", ":now_ms, :now_ms, :phones, 'new'\n)"),
    ],
    "accounts/access_keys.sql": [
        ("k.rate_per_s, k.rate_burst", "k.rate_per_s, CAST(NULL AS bigint) AS rate_burst"),
    ],
}


@pytest.fixture
def new_version(tmp_path: Path) -> str:
    """A folder for PYTHONPATH with the new version of the package."""
    package = tmp_path / "new" / "openpns"
    shutil.copytree(Path(openpns.__file__).parent, package)
    for step, sql in STEPS.items():
        for engine in ("sqlite", "postgres"):
            name = f"{NUMBER:04}_{step}_made_up.{engine}.sql"
            (package / "storage" / "migrations" / name).write_text(sql)
    with (package / "storage" / "postgres" / "schema.txt").open("a", encoding="utf-8") as recorded:
        recorded.write(RECORDED)
    for file, changes in CHANGES.items():
        text = (package / file).read_text("utf-8")
        for before, after in changes:
            assert text.count(before) == 1, f"{file}: {before}"
            text = text.replace(before, after)
        (package / file).write_text(text, "utf-8")
    return str(package.parent)


@contextmanager
def reading(*servers: Process) -> Iterator[None]:
    """Read pages of each server during the block; every response must be a success."""
    stop, codes = threading.Event(), []

    def read(server: Process) -> None:
        connection = server.connect()
        while not stop.wait(0.005):
            body = {"limit": 5, "offset": len(codes) % 3}
            codes.append(server.call("listGroup", body, connection=connection)["code"])
        connection.close()

    threads = [threading.Thread(target=read, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert set(codes) == {0}


def wait_for_writes(writers: list[Writer]) -> None:
    """Wait until each writer has had some more responses."""
    counts = [writer.codes[0] for writer in writers]
    wait_until(
        lambda: all(
            writer.codes[0] >= count + 5 for writer, count in zip(writers, counts, strict=True)
        ),
        "writes go on",
    )


def test_pre_and_post_migrations_under_traffic_lose_nothing(
    start: Start, served_url: str, new_version: str
) -> None:
    serve = ("serve", "--database", served_url, "--port", "0", "--workers", "2")

    def run_new(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_openpns(*arguments, "--database", served_url, PYTHONPATH=new_version)

    old = start(*serve)
    old_writers = [Writer(f"old{number}", SEED) for number in range(2)]
    new_writers = [Writer(f"new{number}", SEED) for number in range(2)]
    with ExitStack() as new_traffic:
        with reading(old), running(old_writers, old.port):
            wait_for_writes(old_writers)
            check = run_new("migrate", "--check")
            assert (check.returncode, f"missing: {NUMBER} pre" in check.stderr) == (1, True)
            refused = run_openpns(*serve, PYTHONPATH=new_version)
            assert f"lacks migration {NUMBER} pre" in refused.stderr
            done = run_new("migrate")
            assert done.stdout == f"applied migrations: {NUMBER} pre\n", done.stderr
            wait_for_writes(old_writers)
            again = run_openpns("migrate", "--check", "--database", served_url)
            assert again.returncode == 0, "the old version accepts the new pre step"
            new = start(*serve, PYTHONPATH=new_version)
            new_traffic.enter_context(reading(new))
            new_traffic.enter_context(running(new_writers, new.port))
            wait_for_writes(old_writers + new_writers)
            refused = run_new("migrate", "--post")
            assert refused.returncode == 2
            assert "2 workers of an older version are running" in refused.stderr
        assert old.stop() == 0
        check = run_new("migrate", "--check")
        assert f"missing: {NUMBER} post; run: openpns migrate --post" in check.stderr
        wait_for_writes(new_writers)
        done = run_new("migrate", "--post")
        assert done.stdout == f"applied migrations: {NUMBER} post\n", done.stderr
        wait_for_writes(new_writers)
    refused = run_openpns(*serve)
    assert f"has migration {NUMBER}, which this version does not know" in refused.stderr
    shown = shown_groups(new)
    for writer in old_writers + new_writers:
        writer.check(shown)
        assert writer.lost == 0
        assert set(writer.codes) == {0}
    verified = run_new("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert new.stop() == 0


async def test_both_versions_write_to_the_same_tables(
    start: Start, served_url: str, new_version: str
) -> None:
    serve = ("serve", "--database", served_url, "--port", "0", "--workers", "1")
    old = start(*serve)
    run_openpns("migrate", "--database", served_url, PYTHONPATH=new_version)
    new = start(*serve, PYTHONPATH=new_version)
    for server, name in ((old, "old"), (new, "new")):
        assert server.call("createGroup", {"phones": "85211111114", "groupName": name})["code"] == 0
    rows = await direct.query(served_url, "SELECT group_name, made_by FROM number_group")
    assert set(rows) == {("old", "old"), ("new", "new")}
