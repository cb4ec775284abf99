"""Sealing access secrets: AES-256-GCM under a master key, so that a stolen database tells none.

A signature can only be checked with the secret itself, so it cannot be hashed as a password is.
A sealed secret is: one byte of version, the first 8 bytes of the master key's SHA-256, a nonce
of 12 bytes, the ciphertext with its tag. What the secret belongs to is bound in as associated
data, so that a sealed secret cannot be moved to another key.
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
"""What the decoy is sealed for; no access key is empty."""

ALLOWED: Final = "32 bytes in URL-safe base64, as openpns master-key new prints them"


def new_master_key() -> str:
    """Return a new master key as text: 32 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


def read_master_keys(text: str, source: str) -> list[bytes]:
    """Read master keys: one, or several separated by commas or lines, the newest first.

    Args:
        text: The keys, each 32 bytes in URL-safe base64.
        source: Where they come from, for the error text, which never repeats a key.

    Raises:
        ConfigError: One of them is no master key, or there is none.
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
    """Seal and open secrets.

    Args:
        keys: Master keys, the newest first: the first seals, each opens what it sealed.
        reload: Reads the keys again, for a secret that was sealed under one not known here
            (another process rotated the key file meanwhile).
    """

    def __init__(
        self, keys: Sequence[bytes], reload: Callable[[], Sequence[bytes]] | None = None
    ) -> None:
        self._reload = reload
        self._use(keys)

    def seal(self, secret: bytes, owner: str) -> bytes:
        """Return a secret sealed under the newest master key.

        Args:
            secret: What to seal.
            owner: What it belongs to, such as an access key; needed to open it again.
        """
        nonce = os.urandom(_NONCE_BYTES)
        head = _VERSION + self._newest
        return head + nonce + self._ciphers[self._newest].encrypt(nonce, secret, owner.encode())

    def open(self, sealed: bytes, owner: str) -> bytes:
        """Return a secret that was sealed for this owner.

        Args:
            sealed: What `seal` returned.
            owner: What it belongs to.

        Raises:
            InternalError: No master key here opens it, or it was changed.
        """
        cipher = self._cipher_of(sealed)
        nonce = sealed[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES]
        try:
            if cipher is not None:
                return cipher.decrypt(nonce, sealed[_HEAD_BYTES + _NONCE_BYTES :], owner.encode())
        except (InvalidTag, ValueError):  # the latter where it was cut short
            pass
        raise InternalError("a secret cannot be opened with the master key")

    def is_newest(self, sealed: bytes) -> bool:
        """Tell whether something was sealed under the newest master key.

        Args:
            sealed: What `seal` returned.
        """
        return sealed[1:_HEAD_BYTES] == self._newest

    def _cipher_of(self, sealed: bytes) -> AESGCM | None:
        if sealed[:1] != _VERSION:
            return None
        key_id = bytes(sealed[1:_HEAD_BYTES])
        if key_id not in self._ciphers and self._reload is not None:
            self._use(self._reload())
        return self._ciphers.get(key_id)

    def _use(self, keys: Sequence[bytes]) -> None:
        """Take these keys, and seal the decoy under the newest of them."""
        ids = [hashlib.sha256(key).digest()[:_ID_BYTES] for key in keys]
        self._newest = ids[0]
        self._ciphers = {key_id: AESGCM(key) for key_id, key in zip(ids, keys, strict=True)}
        self.decoy = self.seal(os.urandom(_KEY_BYTES), DECOY_OWNER)
        """A sealed secret that nobody has, to be opened where there is none to open."""
