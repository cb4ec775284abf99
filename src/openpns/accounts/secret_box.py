"""Encrypt access secrets: AES-256-GCM under a master key that is not in the database.

A signature can only be checked with the secret itself, so the secret cannot be hashed like a
password. A ciphertext is: one byte of version, the first 8 bytes of the master key's SHA-256, a
nonce of 12 bytes, the encrypted secret with its tag. The owner of the secret is its associated
data, so that a ciphertext cannot be moved to another access key.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openpns.errors import ConfigError, InternalError

_VERSION: Final = b"\x01"
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = 1 + _ID_BYTES
_KEY_BYTES: Final = 32

DECOY_OWNER: Final = ""
"""The owner of the decoy; no access key is empty."""

ALLOWED: Final = "32 bytes in URL-safe base64, as openpns master-key new prints them"


def new_master_key() -> str:
    """Return a new master key as text: 32 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


def read_master_keys(text: str, source: str) -> list[bytes]:
    """Read master keys: one, or several separated by commas or lines, the newest first.

    `source` is where they come from, for the error text, which never repeats a key.

    Raises:
        ConfigError: One of them is not a master key, or there is none.
    """
    keys = []
    for item in text.replace(",", "\n").split():
        try:
            key = base64.b64decode(item.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            key = b""
        if len(key) != _KEY_BYTES:
            raise ConfigError(f"{source}: not a master key; allowed is {ALLOWED}")
        keys.append(key)
    if not keys:
        raise ConfigError(f"{source}: holds no master key; allowed is {ALLOWED}")
    return keys


class SecretBox:
    """Encrypt and decrypt secrets.

    Args:
        keys: Master keys, the newest first: the first encrypts, each decrypts what it encrypted.
        reload: Reads the keys again, for a ciphertext of a master key that is not known here:
            another process may have rotated the key file.
    """

    def __init__(
        self, keys: Sequence[bytes], reload: Callable[[], Sequence[bytes]] | None = None
    ) -> None:
        self._reload = reload
        self._use(keys)

    def encrypt(self, secret: bytes, owner: str) -> bytes:
        """Return the ciphertext of a secret; its owner, such as an access key, decrypts it."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _VERSION + self._newest
        return head + nonce + self._ciphers[self._newest].encrypt(nonce, secret, owner.encode())

    def decrypt(self, ciphertext: bytes, owner: str) -> bytes:
        """Return the secret of a ciphertext that was encrypted for this owner.

        Raises:
            InternalError: It was changed, or no master key here decrypts it.
        """
        cipher = self._cipher_of(ciphertext)
        nonce = ciphertext[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES]
        try:
            if cipher is not None:
                rest = ciphertext[_HEAD_BYTES + _NONCE_BYTES :]
                return cipher.decrypt(nonce, rest, owner.encode())
        except (InvalidTag, ValueError):  # ValueError: it was cut short
            pass
        raise InternalError("a secret cannot be decrypted with the master key")

    def _cipher_of(self, ciphertext: bytes) -> AESGCM | None:
        if ciphertext[:1] != _VERSION:
            return None
        key_id = bytes(ciphertext[1:_HEAD_BYTES])
        if key_id not in self._ciphers and self._reload is not None:
            self._use(self._reload())
        return self._ciphers.get(key_id)

    def _use(self, keys: Sequence[bytes]) -> None:
        """Take these keys, and encrypt the decoy under the newest of them."""
        ids = [hashlib.sha256(key).digest()[:_ID_BYTES] for key in keys]
        self._newest = ids[0]
        self._ciphers = {key_id: AESGCM(key) for key_id, key in zip(ids, keys, strict=True)}
        self.decoy = self.encrypt(os.urandom(_KEY_BYTES), DECOY_OWNER)
        """The ciphertext of a random secret, decrypted for unknown access keys."""
