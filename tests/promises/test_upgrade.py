"""An upgrade from the first version of the tables, while callers go on calling."""

import asyncio
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from tests import direct
from tests.processes import KEY_OF, MASTER_KEY, Start, run_openpns
from tests.promises.test_durable import check
from tests.promises.traffic import Writer, running, shown_groups, wait_until

from openpns.accounts import master_key
from openpns.server.run import free_port
from openpns.storage import connect, migrations

COUNTS = (0, 1, 2, 127, 128, 129, 256, 700)
"""How many numbers the groups have, again and again; every fifth group was deleted."""

PLACES = [place for place in range(400) if place % 5]

CUSTOMER = """
INSERT INTO customer (customer_id, name, created_ms) VALUES ('{0}', '', 0);
INSERT INTO customer_state (customer_id, group_count, next_seq) VALUES ('{0}', {1}, {2});
"""
KEY = """
INSERT INTO access_key (access_key, customer_id, label, secret_ciphertext, created_ms)
VALUES ('{0}', '{1}', '', {2}, 0);
"""
GROUP = """
INSERT INTO number_group VALUES ('cus_1', '{0:032x}', {0}, 'old-{0}', '', {1}, {2}, 0, 0, '{3}');
"""
MEMBER = "INSERT INTO group_member VALUES ('cus_1', {}, '{}', {});"


def phones_of(place: int) -> list[str]:
    return [f"852{place:04}{number:04}" for number in range(COUNTS[place % len(COUNTS)])]


def old_rows(sealed: dict[str, str]) -> str:
    """Return the SQL that fills tables of the first version."""
    sql = CUSTOMER.format("cus_1", len(PLACES), 400) + CUSTOMER.format("cus_2", 0, 0)
    for customer, (access_key, _) in KEY_OF.items():
        sql += KEY.format(access_key, customer, sealed[customer])
    for place in PLACES:
        phones = phones_of(place)
        sql += GROUP.format(place, len(phones), 2 * len(phones), ",".join(phones))
        sql += "".join(MEMBER.format(place, phone, 2 * n) for n, phone in enumerate(phones))
    return sql


async def make_old(url: str) -> None:
    """Make a database as the first version left it."""
    engine = connect.engine_of(url)
    store = await connect.open_store(url, create=True)
    await store.migrate(migrations.load_migrations(engine)[:1])
    secret_box = await master_key.open_secret_box(store, url, MASTER_KEY)
    literal = "x'{}'" if engine == "sqlite" else "'\\x{}'"
    sealed = {
        customer: literal.format(secret_box.encrypt(secret.encode(), access_key).hex())
        for customer, (access_key, secret) in KEY_OF.items()
    }
    await direct.run(url, old_rows(sealed))
    await store.close()


def test_an_upgrade_under_traffic_keeps_every_answer(start: Start, database_url: str) -> None:
    asyncio.run(make_old(database_url))
    port = free_port("port", "127.0.0.1", 0)[1]
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
        wait_until(lambda: all(writer.codes[0] for writer in writers), "every caller is answered")
        time.sleep(0.2)
    check(writers, server, database_url)
    assert {code for writer in writers for code in writer.codes} == {0}
    shown = list(shown_groups(server).items())[: len(PLACES)]
    assert shown == [
        (f"old-{place}", (f"{place:032x}", ",".join(phones_of(place)))) for place in PLACES
    ]
    assert server.stop() == 0
