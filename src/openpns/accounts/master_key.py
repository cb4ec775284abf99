"""The master key: where it comes from, how it is recognised, how it is rotated."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeAlias, overload

from openpns.accounts.secret_box import ALLOWED, SecretBox, new_master_key, read_master_keys
from openpns.core import audit
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.errors import ConfigError, InternalError
from openpns.kit import atomic_file
from openpns.kit.private_file import check_private
from openpns.storage.store import Statement, Store, Transaction, database_path

VARIABLE: Final = "OPENPNS_MASTER_KEY"
FILE_VARIABLE: Final = "OPENPNS_MASTER_KEY_FILE"

_CHECK_TEXT: Final = b"openpns"
CHECK_OWNER: Final = "master key check"
"""The owner of the ciphertext by which a master key is recognised; see `SecretBox`."""


class Reencrypt(Protocol):
    """Return a secret, encrypted under the newest master key; None for None."""

    @overload
    def __call__(self, ciphertext: bytes, owner: str) -> bytes: ...
    @overload
    def __call__(self, ciphertext: bytes | None, owner: str) -> bytes | None: ...


ReencryptSecrets: TypeAlias = Callable[[Reencrypt], Transaction[tuple[str, int]]]
"""Steps that encrypt all secrets of a feature; return their name and how many owners they have."""


def key_file_of(url: str) -> Path | None:
    """Return the key file of an SQLite database, in the same folder; None for PostgreSQL."""
    path = database_path(url)
    return None if path is None else Path(f"{path}.key")


def take_variable(environ: MutableMapping[str, str]) -> str | None:
    """Return the master keys that the environment gives, and remove them from it.

    They are the value of OPENPNS_MASTER_KEY or the content of OPENPNS_MASTER_KEY_FILE; None if
    neither is set.

    Raises:
        ConfigError: Both are set; the file cannot be read, or others can use it.
    """
    found = find_variable(environ)
    environ.pop(VARIABLE, None)
    return found


def find_variable(environ: Mapping[str, str]) -> str | None:
    """Do as `take_variable`, but change nothing."""
    value, file = environ.get(VARIABLE) or None, environ.get(FILE_VARIABLE)
    if not file:
        return value
    if value is not None:
        raise ConfigError(f"{VARIABLE}, {FILE_VARIABLE}: set one of them")
    return read_file(Path(file), FILE_VARIABLE)


def read_file(file: Path, name: str) -> str:
    """Return the text of a file with master keys.

    Args:
        name: The setting or option that names the file, for error texts.

    Raises:
        ConfigError: It cannot be read, or others can use it.
    """
    try:
        return _read_private(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot read {file} ({_reason(error)})") from None


async def open_secret_box(store: Store, url: str, variable: str | None) -> SecretBox:
    """Return the secret box of a database, and make sure that its master key is the right one.

    The keys come from the environment variable or, for an SQLite database without it, from the
    key file, which is created for a new database. `variable` is what `find_variable` returns.

    Raises:
        ConfigError: The master key is missing, malformed, another database's, or in a file that
            others can read.
    """
    check = await _find_key_check(store)
    secret_box = _secret_box(url, variable, is_new=check is None)
    if check is None:
        await store.write(lambda: _create_check(secret_box.encrypt(_CHECK_TEXT, CHECK_OWNER)))
        check = await _find_key_check(store) or b""  # another process may have been faster
    _recognise(secret_box, check, url, variable)
    return secret_box


async def find_secret_box(store: Store, url: str, variable: str | None) -> SecretBox | None:
    """Return the secret box of a database; None if it has had no master key yet.

    Changes nothing and creates no key file, unlike `open_secret_box`.

    Raises:
        ConfigError: The master key is missing, malformed, another database's, or in a file that
            others can read.
    """
    check = await _find_key_check(store)
    if check is None:
        return None
    secret_box = _secret_box(url, variable, is_new=False)
    _recognise(secret_box, check, url, variable)
    return secret_box


async def find_mistake(store: Store, url: str, variable: str | None) -> str | None:
    """Return why the master key is not this database's; None if it is, or none is needed yet.

    Changes nothing and creates no key file, unlike `open_secret_box`.
    """
    try:
        await find_secret_box(store, url, variable)
    except ConfigError as error:
        return str(error)
    return None


async def rotate(
    store: Store, url: str, variable: str | None, of_features: Sequence[ReencryptSecrets]
) -> Mapping[str, int]:
    """Encrypt every secret under the newest master key; return how many owners of secrets.

    `of_features` are the secrets of other features, which the registry lists; one that is left out
    could never be decrypted any more.

    With a key file, a new master key is put before the old one, which is removed at the end; a run
    that was interrupted is completed by the next one. With the variable, its first key is the new
    one.

    Raises:
        ConfigError: The master key is wrong, the variable holds one key only, or another rotation
            is running.
    """
    file = None if variable is not None else key_file_of(url)
    if file is None:
        secret_box = await open_secret_box(store, url, variable)
        if len(read_master_keys(variable or "", VARIABLE)) == 1:
            raise ConfigError(
                f"{VARIABLE}: holds one master key; to rotate, put the new one before it: NEW,OLD"
            )
        return await _commit_rotation(store, secret_box, of_features)
    with _exclusive_rotation(file):
        await open_secret_box(store, url, variable)
        text = file.read_text("ascii")
        if len(read_master_keys(text, str(file))) == 1:
            _write_private(file, f"{new_master_key()}\n{text}")
        secret_box = await open_secret_box(store, url, variable)
        counts = await _commit_rotation(store, secret_box, of_features)
        _write_private(file, file.read_text("ascii").splitlines()[0] + "\n")
    return counts


def lock_key_check(secret_box: SecretBox) -> Transaction[None]:
    """Prevent a rotation of the master key until the end of the transaction.

    Runs before a secret is encrypted and stored: one under a key that a rotation has removed
    meanwhile could never be decrypted.

    Raises:
        InternalError: The secret box lacks the key that the database is now used with.
    """
    for row in (yield Statement("master_key_check_lock", {})):
        secret_box.decrypt(row[0], CHECK_OWNER)


def _secret_box(url: str, variable: str | None, *, is_new: bool) -> SecretBox:
    if variable is not None:
        return SecretBox(read_master_keys(variable, VARIABLE))
    file = key_file_of(url)
    if file is None:
        raise ConfigError(f"{VARIABLE}: is not set, and PostgreSQL needs it; allowed is {ALLOWED}")

    def read() -> list[bytes]:
        try:
            return read_master_keys(_read_private(file), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{file}: cannot read the master key ({_reason(error)}); put the file back, or set "
                f"{VARIABLE}"
            ) from None

    if is_new and not file.exists():
        _create_private(file, new_master_key() + "\n")
    return SecretBox(read(), read)


def _read_private(file: Path) -> str:
    """Return the text of a file with master keys.

    Raises:
        ConfigError: Others can use the file.
    """
    with file.open(encoding="ascii") as opened:
        check_private(file, opened.fileno(), "the master key")
        return opened.read()


def _reason(error: OSError | UnicodeDecodeError) -> str | None:
    return error.strerror if isinstance(error, OSError) else "not text"


def _recognise(secret_box: SecretBox, check: bytes, url: str, variable: str | None) -> None:
    try:
        secret_box.decrypt(check, CHECK_OWNER)
    except InternalError:
        where = VARIABLE if variable is not None else str(key_file_of(url))
        raise ConfigError(f"{where}: not the master key that this database was made with") from None


async def _find_key_check(store: Store) -> bytes | None:
    rows = await store.fetch("master_key_check_find", {})
    return rows[0][0] if rows else None


def _create_check(check: bytes) -> Transaction[None]:
    yield Statement("master_key_check_create", {"ciphertext": check})


async def _commit_rotation(
    store: Store, secret_box: SecretBox, of_features: Sequence[ReencryptSecrets]
) -> Mapping[str, int]:
    steps = partial(_reencrypt, secret_box, of_features)
    return await commit_as_operator(store, "masterKey.rotate", steps)


def _reencrypt(
    secret_box: SecretBox, of_features: Sequence[ReencryptSecrets]
) -> Transaction[OperatorEffect[Mapping[str, int]]]:
    """Encrypt every secret again, the check first: a write of a secret waits for its row."""

    def again(ciphertext: bytes | None, owner: str) -> bytes | None:
        return ciphertext and secret_box.encrypt(secret_box.decrypt(ciphertext, owner), owner)

    check = secret_box.encrypt(_CHECK_TEXT, CHECK_OWNER)
    yield Statement("master_key_check_write", {"ciphertext": check})
    counts = {}
    for reencrypt in (_reencrypt_keys, *of_features):
        name, count = yield from reencrypt(again)  # type: ignore[arg-type]
        counts[name] = count
    return OperatorEffect(counts, audit.NO_CUSTOMER, details=counts)


def _reencrypt_keys(again: Reencrypt) -> Transaction[tuple[str, int]]:
    rows = yield Statement("key_ciphertext_list", {})
    for access_key, secret, previous in rows:
        yield Statement(
            "key_reencrypt",
            {
                "access_key": access_key,
                "secret_ciphertext": again(secret, access_key),
                "previous_ciphertext": again(previous, access_key),
            },
        )
    return "accessKeys", len(rows)


@contextmanager
def _exclusive_rotation(file: Path) -> Iterator[None]:
    """Lock out other rotations of the same key file; the lock ends with its process."""
    lock = os.open(file.with_name(f"{file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"{file}: another rotation is running; wait for its end") from None
    finally:
        os.close(lock)


def _create_private(file: Path, text: str) -> None:
    """Create a file with mode 0600 and its complete text, unless it exists already."""
    with _draft(file, text) as draft:
        atomic_file.publish_new(draft, file)


def _write_private(file: Path, text: str) -> None:
    """Replace a file's text at once: a reader sees the old text or the new one."""
    with _draft(file, text) as draft:
        atomic_file.publish(draft, file)


@contextmanager
def _draft(file: Path, text: str) -> Iterator[Path]:
    try:
        with atomic_file.draft_beside(file) as draft:
            draft.write_text(text, "ascii")
            yield draft
    except OSError as error:
        raise ConfigError(f"{file}: cannot write the master key ({error.strerror})") from None
