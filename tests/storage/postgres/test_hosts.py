import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import asyncpg
import pytest
from tests.pgbouncer import needs_pgbouncer, pgbouncer

from openpns.errors import ConfigError
from openpns.storage import connect
from openpns.storage.postgres.hosts import Hosts
from openpns.storage.postgres.url import read_url


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that accepts connections and never answers, like a frozen machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def behind(first: str, url: str) -> str:
    """Return a URL that names another host before its own."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if not host:
        host = quote(parse_qs(parts.query)["host"][0], safe="")
        parts = parts._replace(query="")
    return urlunsplit(parts._replace(netloc=f"{user}@{first},{host}"))


async def test_silent_host_does_not_hide_the_next_one(postgres_url: str, silent: str) -> None:
    store = await connect.open_store(behind(silent, postgres_url), timeout_ms=1000)
    assert await store.applied_migrations() == []
    await store.close()


async def test_last_known_primary_is_tried_first(
    postgres_url: str, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    plain = asyncpg.connect

    async def note(url: str, **options: Any) -> Any:
        tried.append(f"{options['host']}:{options['port']}")
        return await plain(url, **options)

    monkeypatch.setattr(asyncpg, "connect", note)
    hosts = Hosts(behind(silent, postgres_url))
    for _ in range(2):
        await (await hosts.connect(None, timeout=1.0)).close()
    assert [place == silent for place in tried] == [True, False, False]


async def test_open_refuses_silent_hosts_without_the_password(silent: str) -> None:
    url = f"postgresql://user:geheim@{silent},{silent}/name"
    with pytest.raises(ConfigError, match="cannot connect to PostgreSQL") as caught:
        await connect.open_store(url, timeout_ms=200)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("attribute", ["any", "standby", "prefer-standby", "read-only", "x"])
async def test_url_that_asks_for_a_standby_is_refused(attribute: str) -> None:
    url = f"postgresql://user:geheim@127.0.0.1:1/name?target_session_attrs={attribute}"
    with pytest.raises(ConfigError, match="primary or read-write") as caught:
        await connect.open_store(url)
    assert "geheim" not in str(caught.value)


async def test_open_refuses_read_only_server_and_says_what_to_name(
    postgres_url: str,
) -> None:
    name = urlsplit(postgres_url).path[1:]
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await connection.close()
    ask = "&" if "?" in postgres_url else "?"
    with pytest.raises(ConfigError, match="name the primary"):
        await connect.open_store(f"{postgres_url}{ask}target_session_attrs=read-write")


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_pooler_gets_no_named_statement_and_no_setting(postgres_url: str, mode: str) -> None:
    # Each transaction gets a session of its own.
    with pgbouncer(postgres_url, mode, server_lifetime="0") as url:
        hosts = Hosts(url)
        for _ in range(2):  # the second one knows it already
            connection = await hosts.connect(None, timeout=5.0)
            assert connection.is_pooled
            assert [await connection.fetchval("SELECT $1::text", one) for one in "ab"] == ["a", "b"]
            assert await connection.fetchval("SHOW enable_seqscan") == "on"
            assert await connection.fetch("SELECT FROM pg_prepared_statements") == []
            await connection.close()


async def test_direct_connection_has_the_settings(postgres_url: str) -> None:
    connection = await Hosts(postgres_url).connect(None, timeout=5.0)
    assert not connection.is_pooled
    names = ("enable_seqscan", "jit", "plan_cache_mode", "application_name")
    assert [await connection.fetchval(f"SHOW {name}") for name in names] == [
        *("off", "off", "force_generic_plan", "openpns")
    ]
    await connection.close()


@needs_pgbouncer
async def test_pooler_that_is_gone_is_noticed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pgbouncer(postgres_url, "transaction") as url:
        hosts = Hosts(url)
        await (await hosts.connect(None, timeout=5.0)).close()
    straight, plain = read_url(postgres_url).hosts[0], asyncpg.connect

    async def connect_past_it(dsn: str, **options: Any) -> Any:
        return await plain(dsn, **options | {"host": straight.name, "port": straight.port})

    monkeypatch.setattr(asyncpg, "connect", connect_past_it)
    connection = await hosts.connect(None, timeout=5.0)
    assert not connection.is_pooled
    await connection.close()
