"""The master key: where it comes from, recognising the right one, changing it."""

import os
from pathlib import Path
from typing import Final

from openpns.domain.vault import ALLOWED, Vault, new_master_key, read_master_keys
from openpns.errors import ConfigError, InternalError
from openpns.storage.store import Statement, Steps, Store, database_path

VARIABLE: Final = "OPENPNS_MASTER_KEY"

_CHECK_TEXT: Final = b"openpns"
_CHECK_OWNER: Final = "master key check"


def key_file_of(url: str) -> Path | None:
    """Return the key file that stands beside an SQLite database; None for PostgreSQL.

    Args:
        url: The database's URL.
    """
    path = database_path(url)
    return None if path is None else Path(f"{path}.key")


async def open_vault(store: Store, url: str, variable: str | None) -> Vault:
    """Return the vault for a database, and make sure that it is the right one.

    The keys come from the environment variable or, for an SQLite database without it, from the
    key file, which is made for a database that has none yet.

    Args:
        store: The open database, its migrations current.
        url: The database's URL.
        variable: The value of OPENPNS_MASTER_KEY, None where it is not set.

    Raises:
        ConfigError: The master key is missing, malformed or another database's.
    """
    sealed = await _sealed_check(store)
    vault = _vault(url, variable, is_new=sealed is None)
    if sealed is None:
        await store.write(lambda: _create_check(vault.seal(_CHECK_TEXT, _CHECK_OWNER)))
        sealed = await _sealed_check(store) or b""  # another process may have been faster
    try:
        vault.open(sealed, _CHECK_OWNER)
    except InternalError:
        where = VARIABLE if variable is not None else str(key_file_of(url))
        raise ConfigError(f"{where}: not the master key that this database was made with") from None
    return vault


async def rotate(store: Store, url: str, variable: str | None) -> int:
    """Seal every secret anew under the newest master key; return how many there were.

    With a key file, a new key is made and put before the old one, which goes away at the end;
    a run that was cut off at any point is finished by the next one. With the variable, its
    first key is the new one.

    Args:
        store: The open database.
        url: The database's URL.
        variable: The value of OPENPNS_MASTER_KEY, None where it is not set.

    Raises:
        ConfigError: The master key is wrong, or the variable holds but one key.
    """
    file = None if variable is not None else key_file_of(url)
    await open_vault(store, url, variable)
    if file is not None:
        text = file.read_text("ascii")
        if len(read_master_keys(text, str(file))) == 1:
            _write_private(file, f"{new_master_key()}\n{text}")
    elif len(read_master_keys(variable or "", VARIABLE)) == 1:
        raise ConfigError(
            f"{VARIABLE}: holds one master key; to rotate, put the new one before it: NEW,OLD"
        )
    vault = await open_vault(store, url, variable)
    count = 0
    while resealed := await store.write(lambda: _reseal(vault)):
        count += resealed
    await store.write(lambda: _write_check(vault.seal(_CHECK_TEXT, _CHECK_OWNER)))
    if file is not None:
        _write_private(file, file.read_text("ascii").splitlines()[0] + "\n")
    return count


def _vault(url: str, variable: str | None, *, is_new: bool) -> Vault:
    if variable is not None:
        return Vault(read_master_keys(variable, VARIABLE))
    file = key_file_of(url)
    if file is None:
        raise ConfigError(f"{VARIABLE}: is not set, and PostgreSQL needs it; allowed is {ALLOWED}")

    def read() -> list[bytes]:
        try:
            return read_master_keys(file.read_text("ascii"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise ConfigError(
                f"{file}: cannot read the master key ({reason}); put the file back, or set "
                f"{VARIABLE}"
            ) from None

    if is_new and not file.exists():
        _create_private(file, new_master_key() + "\n")
    return Vault(read(), read)


async def _sealed_check(store: Store) -> bytes | None:
    rows = await store.fetch("master_key_check_find", {})
    return rows[0][0] if rows else None


def _create_check(sealed: bytes) -> Steps[None]:
    yield Statement("master_key_check_create", {"sealed": sealed})


def _write_check(sealed: bytes) -> Steps[None]:
    yield Statement("master_key_check_write", {"sealed": sealed})


def _reseal(vault: Vault) -> Steps[int]:
    """Seal anew what an older master key sealed; return how many keys had any of it.

    A key that is rotated at the same moment keeps its new secret: the statement changes only
    what still is as it was read. The caller asks again until nothing is left.
    """

    def again(sealed: bytes | None, owner: str) -> bytes | None:
        return sealed and vault.seal(vault.open(sealed, owner), owner)

    old = []
    for access_key, secret, previous in (yield Statement("key_sealed_list", {})):
        if not all(vault.is_newest(sealed) for sealed in (secret, previous) if sealed):
            old.append((access_key, secret, previous))
    for access_key, secret, previous in old:
        yield Statement(
            "key_reseal",
            {
                "access_key": access_key,
                "secret_read": secret,
                "secret_sealed": again(secret, access_key),
                "previous_sealed": again(previous, access_key),
            },
        )
    return len(old)


def _create_private(file: Path, text: str) -> None:
    """Make a file with mode 0600 and its whole text at once, unless it is there already."""
    draft = _write_draft(file, text)
    try:
        os.link(draft, file)
    except FileExistsError:
        return  # another process was faster
    finally:
        draft.unlink()


def _write_private(file: Path, text: str) -> None:
    """Put a new text in a file's place at once: a reader sees the old one or the new one."""
    _write_draft(file, text).replace(file)


def _write_draft(file: Path, text: str) -> Path:
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise ConfigError(f"{file}: cannot write the master key ({error.strerror})") from None
    return draft
