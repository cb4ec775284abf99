import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.accounts.conftest import stored_secrets
from tests.conftest import FakeClock

from openpns.accounts import access_keys, master_key
from openpns.accounts.secret_box import SecretBox, new_master_key, read_master_keys
from openpns.api.registry import SECRETS
from openpns.core.principal import Principal
from openpns.errors import ConfigError, InternalError
from openpns.storage import connect
from openpns.storage.store import Store, database_path


@pytest.fixture
def variable(database_url: str) -> str | None:
    """The environment's master key: PostgreSQL needs one, an SQLite database has its file."""
    return None if database_path(database_url) else new_master_key()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'file.db'}"


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Store]:
    store = await connect.open_store(sqlite_url, create=True)
    await connect.migrate(store, sqlite_url)
    yield store
    await store.close()


async def test_open_secret_box_twice_decrypts_what_it_encrypted(
    store: Store, database_url: str, variable: str | None
) -> None:
    ciphertext = (await master_key.open_secret_box(store, database_url, variable)).encrypt(
        b"secret", "key"
    )
    again = await master_key.open_secret_box(store, database_url, variable)
    assert again.decrypt(ciphertext, "key") == b"secret"


async def test_open_secret_box_refuses_the_key_of_another_database_without_quoting_it(
    store: Store, database_url: str, variable: str | None
) -> None:
    await master_key.open_secret_box(store, database_url, variable)
    wrong = new_master_key()
    with pytest.raises(
        ConfigError, match=r"^OPENPNS_MASTER_KEY: not the master key that"
    ) as caught:
        await master_key.open_secret_box(store, database_url, wrong)
    assert wrong not in str(caught.value)
    await master_key.open_secret_box(store, database_url, variable)


async def test_open_secret_box_at_once_agrees_on_one_key(
    store: Store, database_url: str, variable: str | None
) -> None:
    boxes = await asyncio.gather(
        *(master_key.open_secret_box(store, database_url, variable) for _ in range(8))
    )
    ciphertext = boxes[0].encrypt(b"secret", "key")
    assert {secret_box.decrypt(ciphertext, "key") for secret_box in boxes} == {b"secret"}


async def test_open_secret_box_needs_the_variable_on_postgresql(postgres_url: str) -> None:
    store = await connect.open_store(postgres_url)
    await connect.migrate(store, postgres_url)
    with pytest.raises(ConfigError, match=r"^OPENPNS_MASTER_KEY: is not set, and PostgreSQL needs"):
        await master_key.open_secret_box(store, postgres_url, None)
    await store.close()


@pytest.mark.parametrize("text", ["", "broken"])
async def test_open_secret_box_refuses_a_malformed_variable(
    sqlite: Store, sqlite_url: str, text: str
) -> None:
    with pytest.raises(ConfigError, match=r"^OPENPNS_MASTER_KEY: .* allowed is 32 bytes"):
        await master_key.open_secret_box(sqlite, sqlite_url, text)
    assert master_key.key_file_of(sqlite_url) is not None
    assert not Path(f"{database_path(sqlite_url)}.key").exists()


async def test_open_secret_box_makes_a_private_key_file_for_a_new_sqlite_database(
    sqlite: Store, sqlite_url: str, tmp_path: Path
) -> None:
    await master_key.open_secret_box(sqlite, sqlite_url, None)
    file = tmp_path / "file.db.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(read_master_keys(file.read_text(), "test")) == 1
    assert [one.name for one in tmp_path.glob("*.draft")] == []


async def test_open_secret_box_uses_an_existing_key_file(
    sqlite: Store, sqlite_url: str, tmp_path: Path
) -> None:
    text = new_master_key()
    file = tmp_path / "file.db.key"
    file.write_text(text)
    for mode in (0o644, 0o666):
        file.chmod(mode)
        with pytest.raises(ConfigError, match=r"file\.db\.key: holds the master key, but others"):
            await master_key.open_secret_box(sqlite, sqlite_url, None)
    file.chmod(0o400)
    ciphertext = (await master_key.open_secret_box(sqlite, sqlite_url, None)).encrypt(
        b"secret", "key"
    )
    assert SecretBox(read_master_keys(text, "test")).decrypt(ciphertext, "key") == b"secret"


async def test_open_secret_box_does_not_replace_a_lost_key_file(
    sqlite: Store, sqlite_url: str, tmp_path: Path
) -> None:
    await master_key.open_secret_box(sqlite, sqlite_url, None)
    file = tmp_path / "file.db.key"
    original = file.read_bytes()
    file.unlink()
    with pytest.raises(ConfigError, match=r"No such file .* put the file back, or set OPENPNS_"):
        await master_key.open_secret_box(sqlite, sqlite_url, None)
    assert not file.exists()
    file.touch(mode=0o600)
    file.write_bytes("schlüssel".encode())
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"file\.db\.key: cannot read .* \(not text\)"):
        await master_key.open_secret_box(sqlite, sqlite_url, None)
    file.write_text(new_master_key())
    with pytest.raises(ConfigError, match=r"file\.db\.key: not the master key that this database"):
        await master_key.open_secret_box(sqlite, sqlite_url, None)
    file.write_bytes(original)
    await master_key.open_secret_box(sqlite, sqlite_url, None)


async def test_open_secret_box_names_a_key_file_that_cannot_be_written(
    sqlite: Store, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(master_key, "key_file_of", lambda _: tmp_path / "missing" / "file.db.key")
    with pytest.raises(ConfigError, match=r"file\.db\.key: cannot write the master key \(No such"):
        await master_key.open_secret_box(sqlite, sqlite_url, None)


async def test_open_secret_box_uses_the_key_file_of_a_faster_process(
    sqlite: Store, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = new_master_key()
    plain = master_key._draft

    def lose_the_race(file: Path, own: str) -> AbstractContextManager[Path]:
        file.touch(mode=0o600)
        file.write_text(text)
        file.chmod(0o600)
        return plain(file, own)

    monkeypatch.setattr(master_key, "_draft", lose_the_race)
    ciphertext = (await master_key.open_secret_box(sqlite, sqlite_url, None)).encrypt(
        b"secret", "key"
    )
    assert SecretBox(read_master_keys(text, "test")).decrypt(ciphertext, "key") == b"secret"
    assert [one.name for one in tmp_path.glob("*.draft")] == []


@pytest.fixture
async def key(
    store: Store, database_url: str, variable: str | None, principal: Principal, clock: FakeClock
) -> str:
    """An access key with two secrets, ciphertext under the first master key."""
    secret_box = await master_key.open_secret_box(store, database_url, variable)
    made = await access_keys.create(store, secret_box, clock, "cus_1", access_secret="first-secret")
    await access_keys.create(store, secret_box, clock, "cus_1", access_secret="other-secret")
    await access_keys.rotate(store, secret_box, clock, made.access_key, grace_ms=1000)
    return made.access_key


async def rotate(store: Store, url: str, variable: str | None) -> tuple[int, str | None]:
    """Rotate the master key as the operator does.

    Return how many access keys there are, and the new variable.
    """
    newest = None if variable is None else new_master_key()
    both = variable and f"{newest},{variable}"
    counts = await master_key.rotate(store, url, both, SECRETS)
    assert counts.keys() == {"accessKeys", "webhooks"}
    return counts["accessKeys"], newest


async def test_rotate_encrypts_every_secret_with_the_new_key(
    store: Store, database_url: str, variable: str | None, key: str
) -> None:
    before = await master_key.open_secret_box(store, database_url, variable)
    secrets = await stored_secrets(store, before, key)
    assert secrets[1] == "first-secret"
    count, newest = await rotate(store, database_url, variable)
    assert count == 2
    after = await master_key.open_secret_box(store, database_url, newest)
    assert await stored_secrets(store, after, key) == secrets
    file = master_key.key_file_of(database_url)
    text = newest or (file.read_text() if file else "")
    assert len(read_master_keys(text, "test")) == 1
    assert await stored_secrets(store, SecretBox(read_master_keys(text, "test")), key) == secrets
    if newest is not None:
        assert variable is not None
        with pytest.raises(ConfigError, match="not the master key"):
            await master_key.open_secret_box(store, database_url, variable)
        with pytest.raises(InternalError):
            await stored_secrets(store, before, key)


async def test_running_server_reads_the_rotated_key_file(
    store: Store, database_url: str, variable: str | None, key: str
) -> None:
    running = await master_key.open_secret_box(store, database_url, variable)
    secrets = await stored_secrets(store, running, key)
    if variable is not None:
        # Without a file to read again, the operator gives the server both keys beforehand.
        newest = new_master_key()
        running = await master_key.open_secret_box(store, database_url, f"{variable},{newest}")
        await master_key.rotate(store, database_url, f"{newest},{variable}", SECRETS)
    else:
        await master_key.rotate(store, database_url, None, SECRETS)
    assert await stored_secrets(store, running, key) == secrets


async def test_rotate_again_encrypts_everything_again(
    store: Store, database_url: str, variable: str | None, key: str
) -> None:
    count, newest = await rotate(store, database_url, variable)
    assert (await rotate(store, database_url, newest))[0] == count == 2


async def test_rotate_refuses_a_variable_with_one_key(
    store: Store, database_url: str, key: str, variable: str | None
) -> None:
    file = master_key.key_file_of(database_url)
    one = variable if file is None else file.read_text().strip()
    with pytest.raises(ConfigError, match="holds one master key; to rotate, put the new one"):
        await master_key.rotate(store, database_url, one, SECRETS)


async def test_rotate_with_the_wrong_key_changes_nothing(
    store: Store, database_url: str, variable: str | None, key: str
) -> None:
    wrong = f"{new_master_key()},{new_master_key()}"
    with pytest.raises(ConfigError, match="not the master key"):
        await master_key.rotate(store, database_url, wrong, SECRETS)
    secret_box = await master_key.open_secret_box(store, database_url, variable)
    assert (await stored_secrets(store, secret_box, key))[1] == "first-secret"


@pytest.mark.parametrize("step", ["_reencrypt", "_write_private"])
async def test_rotate_completes_an_interrupted_rotation(
    store: Store,
    database_url: str,
    variable: str | None,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    secrets = await stored_secrets(
        store, await master_key.open_secret_box(store, database_url, variable), key
    )
    newest = None if variable is None else new_master_key()
    both = variable and f"{newest},{variable}"
    plain = getattr(master_key, step)
    runs: list[object] = []

    def cut_off(*arguments: object) -> object:
        runs.append(arguments)
        # The key file is written twice: it is the taking away of the old key that fails.
        if step != "_write_private" or len(runs) == 2:
            raise ConnectionAbortedError("power cut")
        return plain(*arguments)

    with monkeypatch.context() as cut:
        cut.setattr(master_key, step, cut_off)
        if variable is None or step != "_write_private":
            with pytest.raises(Exception, match=r"power cut|Service unavailable"):
                await master_key.rotate(store, database_url, both, SECRETS)
    secret_box = await master_key.open_secret_box(store, database_url, both)
    assert await stored_secrets(store, secret_box, key) == secrets
    await master_key.rotate(store, database_url, both, SECRETS)
    assert await stored_secrets(store, secret_box, key) == secrets
    file = master_key.key_file_of(database_url)
    if file is not None:
        assert len(read_master_keys(file.read_text(), "test")) == 1
    last = await master_key.open_secret_box(store, database_url, newest)
    assert await stored_secrets(store, last, key) == secrets


async def test_create_during_a_rotation_encrypts_with_the_new_key(
    store: Store, database_url: str, variable: str | None, principal: Principal
) -> None:
    """The secret_box was opened before the rotation, and is used after it."""
    newest = None if variable is None else new_master_key()
    both = variable and f"{newest},{variable}"
    early = await master_key.open_secret_box(store, database_url, both)
    await master_key.rotate(store, database_url, both, SECRETS)
    made = await access_keys.create(store, early, FakeClock(), principal.customer_id)
    rotated = await access_keys.rotate(store, early, FakeClock(), made.access_key, grace_ms=1000)
    late = await master_key.open_secret_box(store, database_url, newest)
    found = await stored_secrets(store, late, made.access_key)
    assert found == [rotated.access_secret, made.access_secret]


async def test_create_with_a_replaced_master_key_stores_no_secret(
    store: Store, database_url: str, principal: Principal
) -> None:
    old, newest = new_master_key(), new_master_key()
    early = await master_key.open_secret_box(store, database_url, old)
    await master_key.rotate(store, database_url, f"{newest},{old}", SECRETS)
    with pytest.raises(InternalError, match="cannot be decrypted"):
        await access_keys.create(
            store, early, FakeClock(), principal.customer_id, access_key="made-late"
        )
    assert await access_keys.find(store, "made-late") is None


async def test_rotate_refuses_to_run_twice_at_once_on_one_key_file(
    sqlite: Store, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await master_key.open_secret_box(sqlite, sqlite_url, None)
    plain = master_key.open_secret_box
    others: list[str] = []

    async def with_another(*arguments: object) -> SecretBox:
        monkeypatch.setattr(master_key, "open_secret_box", plain)
        with pytest.raises(ConfigError) as refused:
            await master_key.rotate(sqlite, sqlite_url, None, SECRETS)
        others.append(str(refused.value))
        return await plain(sqlite, sqlite_url, None)

    monkeypatch.setattr(master_key, "open_secret_box", with_another)
    await master_key.rotate(sqlite, sqlite_url, None, SECRETS)
    assert len(others) == 1
    assert "another rotation is running" in others[0]
    await master_key.rotate(sqlite, sqlite_url, None, SECRETS)
    await master_key.open_secret_box(sqlite, sqlite_url, None)


def test_take_variable_returns_the_keys_and_removes_them() -> None:
    environ = {"OPENPNS_MASTER_KEY": "the keys", "PATH": "/bin"}
    assert master_key.take_variable(environ) == "the keys"
    assert environ == {"PATH": "/bin"}
    assert master_key.take_variable(environ) is None
    assert master_key.find_variable({"OPENPNS_MASTER_KEY": ""}) is None


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_find_variable_reads_the_file_that_is_named(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_text("the keys\n")
    file.chmod(mode)
    assert master_key.find_variable({"OPENPNS_MASTER_KEY_FILE": str(file)}) == "the keys\n"


def test_find_variable_refuses_a_file_that_is_missing_or_that_others_can_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "key"
    environ = {"OPENPNS_MASTER_KEY_FILE": str(file)}
    with pytest.raises(ConfigError, match=r"OPENPNS_MASTER_KEY_FILE: cannot read .*No such file"):
        master_key.find_variable(environ)
    file.write_bytes(b"\xff")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"cannot read .*not text"):
        master_key.find_variable(environ)
    file.chmod(0o604)
    with pytest.raises(ConfigError, match=r"the master key, but others can use it \(mode 0604\)"):
        master_key.find_variable(environ)
    with pytest.raises(ConfigError, match="OPENPNS_MASTER_KEY, OPENPNS_MASTER_KEY_FILE: set one"):
        master_key.find_variable(environ | {"OPENPNS_MASTER_KEY": "x"})
