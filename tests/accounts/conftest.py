"""The fixtures of number groups, which customers count, and the secrets of a key."""

from tests.groups.conftest import mine, query, secret_box, sound_tables, theirs

from openpns.accounts import access_keys
from openpns.accounts.secret_box import SecretBox
from openpns.storage.store import Store

__all__ = ["mine", "query", "secret_box", "sound_tables", "theirs"]


async def stored_secrets(store: Store, secret_box: SecretBox, access_key: str) -> list[str]:
    """Return the secret of a key and, after a rotation, the one before it, decrypted."""
    known = await access_keys.find(store, access_key)
    assert known is not None
    return [
        secret_box.decrypt(ciphertext, access_key).decode()
        for ciphertext in (known.secret_ciphertext, known.previous_ciphertext)
        if ciphertext is not None
    ]
