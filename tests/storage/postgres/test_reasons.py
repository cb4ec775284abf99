import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from tests import direct
from tests.pgbouncer import needs_pgbouncer, pgbouncer

from openpns.errors import ConfigError, ServiceUnavailable
from openpns.storage import connect
from openpns.storage.postgres.errors import to_wire_error
from openpns.storage.postgres.reasons import cannot_connect, explain


def with_user(url: str, user: str, query: str = "") -> str:
    """Return a URL with another user, and a parameter more."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    asked = "&".join(filter(None, (parts.query, query)))
    return urlunsplit(parts._replace(netloc=f"{user}:geheim@{place}", query=asked))


WRONG_URL = (ssl.SSLError, asyncpg.InvalidPasswordError, ValueError, KeyError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "name service"),
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens"),
        (TimeoutError(), "no answer in time"),
        (FileNotFoundError(2, "No such file"), "does not exist"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (ssl.SSLError(1, "x"), "TLS fails"),
        (asyncpg.TooManyConnectionsError("too many clients"), "too many clients.*max_connections"),
        (asyncpg.CannotConnectNowError("starting up"), "starting up.*try again"),
        (asyncpg.InvalidPasswordError('for user "u"'), 'for user "u".*check user, password'),
        (asyncpg.ProtocolViolationError("unsupported startup parameter: options"), "leave it out"),
        (asyncpg.ClientConfigurationError("`sslmode` must be one of: x"), "sslmode"),
        (KeyError("getpwuid(): uid not found: 12345"), "has no name"),
        (ValueError("geheim"), "the URL cannot be read"),
    ],
)
def test_explain_names_the_cause(error: Exception, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot connect to PostgreSQL: .*{reason}") as caught:
        raise cannot_connect(error)
    assert "geheim" not in str(caught.value)
    assert "\n" not in explain(error)
    # What the URL says wrongly is wrong usage; everything else may pass by itself.
    assert (caught.value.exit_code == 2) == isinstance(error, WRONG_URL)


def test_explain_shows_no_value() -> None:
    assert explain(asyncpg.UniqueViolationError("Key (phone)=(85211111114)")) == (
        "UniqueViolationError"
    )


def test_cause_is_noted_for_the_log() -> None:
    error = ConnectionRefusedError(111, "Connection refused")
    assert isinstance(to_wire_error(error), ServiceUnavailable)
    assert error.__notes__ == [explain(error)]


async def test_unknown_user_and_missing_database_are_named(postgres_url: str) -> None:
    with pytest.raises(ConfigError, match=r'role "nobody_here" does not exist.*check user'):
        await connect.open_store(with_user(postgres_url, "nobody_here"))
    with pytest.raises(ConfigError, match=r'database "no_such" does not exist.*createdb'):
        await connect.open_store(postgres_url.replace(urlsplit(postgres_url).path, "/no_such"))


async def test_ignored_password_file_is_named(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:*:geheim\n")
    file.chmod(0o644)
    monkeypatch.setenv("PGPASSFILE", str(file))
    with pytest.raises(ConfigError, match=f"{file} is ignored: .*chmod 600"):
        await connect.open_store(with_user(postgres_url, "nobody_here"))
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        await connect.open_store(with_user(postgres_url, "nobody_here"))
    assert "ignored" not in str(caught.value)


@needs_pgbouncer
async def test_startup_parameter_that_pgbouncer_refuses_is_named(postgres_url: str) -> None:
    with (
        pgbouncer(postgres_url, "transaction") as url,
        pytest.raises(ConfigError, match="startup parameter: options; leave it out of the URL"),
    ):
        await connect.open_store(f"{url}&options=-c%20jit%3Doff")


@pytest.fixture
async def without_tls() -> AsyncIterator[int]:
    """A port that refuses TLS as PostgreSQL does."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_server_without_tls_is_named(without_tls: int) -> None:
    with pytest.raises(ConfigError, match=r"port .*: .*rejected SSL upgrade"):
        await connect.open_store(f"postgresql://u:geheim@127.0.0.1:{without_tls}/n?sslmode=require")


async def test_options_of_the_url_reach_the_server(postgres_url: str) -> None:
    mark = "&" if "?" in postgres_url else "?"
    url = f"{postgres_url}{mark}options=-c%20work_mem%3D1234kB&application_name=own"
    store = await connect.open_store(url)
    found = await direct.query(
        postgres_url,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'own'",
    )
    assert found == [(1,)]
    await store.close()
