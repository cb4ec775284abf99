"""An upgrade from older versions of the tables, while clients go on sending requests."""

import asyncio
import hashlib
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests import direct
from tests.processes import KEY_OF, MASTER_KEY, Process, Start, free_port, run_openpns
from tests.promises.test_durable import check
from tests.promises.traffic import Writer, running, shown_groups, wait_until

from openpns.accounts.secret_box import SecretBox, read_master_keys
from openpns.clock import now_ms
from openpns.storage import connect, migrations

COUNTS = (0, 1, 2, 127, 128, 129, 256, 700)
"""Phones of the groups, repeated; every fifth group was deleted."""

SEQS = [seq for seq in range(400) if seq % 5]

CUSTOMER = """
INSERT INTO customer (customer_id, name, created_ms) VALUES ('{0}', '', 0);
INSERT INTO group_counter (customer_id, group_count, seq_next) VALUES ('{0}', {1}, {2});
"""
KEY = """
INSERT INTO access_key (access_key, customer_id, label, secret_sealed, created_ms)
VALUES ('{0}', '{1}', '', {2}, 0);
"""
GROUP = """
INSERT INTO number_group VALUES ('cus_1', '{0:032x}', {0}, 'old-{0}', '', {1}, {2}, 0, 0, '{3}');
"""
MEMBER = "INSERT INTO group_member VALUES ('cus_1', {}, '{}', {});"

TOKEN_BODY = {"phones": "85211111114,85211111115", "groupName": "with a token"}
TOKEN_GROUP = f"{1:032x}"
"""What the record of a client token says that the request of this body created."""

VERSION_7 = """
INSERT INTO write_record VALUES ('cus_1', 'client:order-7', '{0}', 0, '{{"groupId":"{1}"}}', {2});
INSERT INTO write_record VALUES ('cus_1', 'sign:{3}', '', 0, 'null', {2});
INSERT INTO audit_entry VALUES ('cus_2', 7, 1, 'createGroup', NULL, 'key', '{1}', '12', '{{}}');
INSERT INTO group_gone VALUES ('cus_1', '{4:032x}', 5, 'old-5', {5});
"""
"""Rows that only version 7 has."""


def phones_of(seq: int) -> list[str]:
    return [f"852{seq:04}{number:04}" for number in range(COUNTS[seq % len(COUNTS)])]


def old_rows(ciphertexts: dict[str, str], key_check: str) -> str:
    """Return the SQL that fills tables of the first version."""
    sql = CUSTOMER.format("cus_1", len(SEQS), 400) + CUSTOMER.format("cus_2", 0, 0)
    sql += f"INSERT INTO master_key_check VALUES (1, {key_check});"
    for customer, (access_key, _) in KEY_OF.items():
        sql += KEY.format(access_key, customer, ciphertexts[customer])
    for seq in SEQS:
        phones = phones_of(seq)
        sql += GROUP.format(seq, len(phones), 2 * len(phones), ",".join(phones))
        sql += "".join(MEMBER.format(seq, phone, 2 * n) for n, phone in enumerate(phones))
    return sql


def rows_of_version_7() -> str:
    """Return the SQL that fills tables that the first version did not have."""
    text = json.dumps(TOKEN_BODY, sort_keys=True, separators=(",", ":"))
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    expires_ms = now_ms() + 3_600_000
    return VERSION_7.format(fingerprint, TOKEN_GROUP, expires_ms, "0f" * 16, 5, now_ms())


async def make_old(url: str, version: int) -> None:
    """Create a database as an old version left it: 1 or 7."""
    engine = connect.engine_of(url)
    literal = "x'{}'" if engine == "sqlite" else "'\\x{}'"
    box = SecretBox(read_master_keys(MASTER_KEY, "test"))

    def encrypt(text: str, owner: str) -> str:
        return literal.format(box.encrypt(text.encode(), owner).hex())

    store = await connect.open_store(url, create=True)
    await store.migrate(migrations.load_migrations(engine)[:1])
    await store.close()
    ciphertexts = {
        customer: encrypt(secret, access_key) for customer, (access_key, secret) in KEY_OF.items()
    }
    await direct.run(url, old_rows(ciphertexts, encrypt("openpns", "master key check")))
    if version == 7:
        store = await connect.open_store(url)
        await store.migrate(migrations.load_migrations(engine)[:7])
        await store.close()
        await direct.run(url, rows_of_version_7())


@pytest.mark.parametrize("version", [1, 7])
def test_upgrade_under_traffic_keeps_every_response(
    start: Start, database_url: str, version: int
) -> None:
    asyncio.run(make_old(database_url, version))
    port = free_port()
    arguments = ("serve", "--database", database_url, "--port", str(port), "--workers", "2")
    refused = run_openpns(*arguments)
    assert refused.returncode == 2
    assert "openpns migrate" in refused.stderr

    def migrate(_: int) -> subprocess.CompletedProcess[str]:
        return run_openpns("migrate", "--database", database_url)

    writers = [Writer(f"w{number}", 1) for number in range(4)]
    with running(writers, port):
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(migrate, range(2)))
        assert [ended.returncode for ended in done] == [0, 0], done
        assert sorted(ended.stdout[:7] for ended in done) == ["applied", "nothing"]
        server = start(*arguments)
        wait_until(
            lambda: all(writer.codes[0] for writer in writers), "every client gets responses"
        )
        time.sleep(0.2)
    check(writers, server, database_url)
    assert {code for writer in writers for code in writer.codes} == {0}
    shown = list(shown_groups(server).items())[: len(SEQS)]
    assert shown == [(f"old-{seq}", (f"{seq:032x}", ",".join(phones_of(seq)))) for seq in SEQS]
    if version == 7:
        check_rows_of_version_7(server)
    assert server.stop() == 0


def check_rows_of_version_7(server: Process) -> None:
    total = server.call("listGroup", {"limit": 1, "offset": 0})["data"]["total"]
    token = {"clientToken": "order-7"}
    assert server.call("createGroup", TOKEN_BODY | token)["groupId"] == TOKEN_GROUP
    assert server.call("createGroup", TOKEN_BODY | token | {"remark": "x"})["code"] == 19007
    page = server.call("listGroup", {"limit": 1, "after": f"{5:032x}"})["data"]
    assert page["total"] == total
    assert page["groups"][0]["groupId"] == f"{6:032x}"
