"""Rows in a form in which those of two databases are compared, and digests of them."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from openpns import limits
from openpns.accounts.master_key import CHECK_OWNER
from openpns.accounts.secret_box import SecretBox
from openpns.deliveries.signature import secret_owner
from openpns.phones import mask_phone
from openpns.storage.copying import Row, Table, TableKey

DIGEST_BITS: Final = 128

_MODULUS: Final = 1 << DIGEST_BITS
_PHONE: Final = re.compile(rf"[0-9]{{{limits.PHONE_DIGITS_MIN},}}")

_encode: Final = msgspec.msgpack.Encoder().encode


class Secrets(msgspec.Struct, frozen=True):
    """The master keys of a source and a target that has another one."""

    source: SecretBox
    target: SecretBox


class Columns:
    """The columns of a table, in the order of its rows.

    Args:
        secrets: None if both databases have the same master key, so that ciphertexts stay.
    """

    def __init__(self, table: Table, names: Sequence[str], secrets: Secrets | None) -> None:
        self.table = table
        self.names = names
        self._key = [names.index(name) for name in table.key]
        self._secrets = secrets
        self._ciphertexts = [names.index(name) for name in table.secrets] if secrets else []

    def key_of(self, row: Row) -> TableKey:
        """Return the key of a row."""
        return tuple([row[place] for place in self._key])

    def to_target(self, row: Row) -> Row:
        """Return a row of the source with its secrets encrypted for the target."""
        secrets = self._secrets
        if not self._ciphertexts or secrets is None:
            return row
        owner = self._owner(row)

        def again(ciphertext: bytes) -> bytes:
            return secrets.target.encrypt(secrets.source.decrypt(ciphertext, owner), owner)

        return self._changed(row, again)

    def of_source(self, row: Row) -> Row:
        """Return a row of the source in the form in which rows are compared: decrypted."""
        return self._decrypted(row, self._secrets.source) if self._secrets else row

    def of_target(self, row: Row) -> Row:
        """Return a row of the target in that form."""
        return self._decrypted(row, self._secrets.target) if self._secrets else row

    def _decrypted(self, row: Row, secret_box: SecretBox) -> Row:
        if not self._ciphertexts:
            return row
        owner = self._owner(row)
        return self._changed(row, lambda ciphertext: secret_box.decrypt(ciphertext, owner))

    def _changed(self, row: Row, change: Callable[[bytes], bytes]) -> Row:
        changed = list(row)
        for place in self._ciphertexts:
            if changed[place] is not None:
                changed[place] = change(changed[place])
        return tuple(changed)

    def _owner(self, row: Row) -> str:
        """Return the owner under which the secrets of a row are encrypted."""
        key = str(self.key_of(row)[0])
        owners = {
            "access_key": key,
            "webhook": secret_owner(key),
            "master_key_check": CHECK_OWNER,
        }
        return owners[self.table.name]

    def text_of(self, key: TableKey) -> str:
        """Return a key as an error text may show it: phones are masked."""
        return ", ".join(
            _PHONE.sub(lambda found: mask_phone(found[0]), part)
            if isinstance(part, str)
            else str(part)
            for part in key
        )


def digest_of(row: Row) -> int:
    """Return a digest of a row: BLAKE2b of its values in MessagePack."""
    return int.from_bytes(hashlib.blake2b(_encode(row), digest_size=DIGEST_BITS // 8).digest())


def added(total: int, row: Row) -> int:
    """Return the digest of rows after one more was added; their order does not matter."""
    return (total + digest_of(row)) % _MODULUS


def removed(total: int, row: Row) -> int:
    """Return the digest of rows after one was removed."""
    return (total - digest_of(row)) % _MODULUS


def digest_text(total: int) -> str:
    """Return a digest in hex."""
    return f"{total:0{DIGEST_BITS // 4}x}"
