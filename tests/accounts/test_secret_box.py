import base64

import pytest

from openpns.accounts.secret_box import SecretBox, new_master_key, read_master_keys
from openpns.errors import ConfigError, InternalError

ONE, OTHER = b"1" * 32, b"2" * 32


def test_encrypt_makes_a_ciphertext_for_its_owner_only() -> None:
    secret_box = SecretBox([ONE])
    ciphertext = secret_box.encrypt(b"secret", "key")
    assert secret_box.decrypt(ciphertext, "key") == b"secret"
    with pytest.raises(InternalError):
        secret_box.decrypt(ciphertext, "another")


def test_encrypt_makes_different_ciphertexts_that_do_not_contain_the_secret() -> None:
    secret_box = SecretBox([ONE])
    ciphertext = [secret_box.encrypt(b"secret", "key") for _ in range(100)]
    assert len(set(ciphertext)) == 100
    assert not any(b"secret" in one or ONE in one for one in ciphertext)


def test_decrypt_refuses_a_change_of_any_byte() -> None:
    secret_box = SecretBox([ONE])
    ciphertext = secret_box.encrypt(b"secret", "key")
    for place in range(len(ciphertext)):
        changed = bytearray(ciphertext)
        changed[place] ^= 1
        with pytest.raises(InternalError, match="cannot be decrypted with the master key"):
            secret_box.decrypt(bytes(changed), "key")


def test_decrypt_refuses_a_truncated_ciphertext() -> None:
    secret_box = SecretBox([ONE])
    ciphertext = secret_box.encrypt(b"secret", "key")
    for length in range(len(ciphertext)):
        with pytest.raises(InternalError):
            secret_box.decrypt(ciphertext[:length], "key")


def test_decrypt_refuses_the_ciphertext_of_another_master_key() -> None:
    with pytest.raises(InternalError):
        SecretBox([OTHER]).decrypt(SecretBox([ONE]).encrypt(b"secret", "key"), "key")


def test_older_master_keys_decrypt_and_only_the_newest_encrypts() -> None:
    old = SecretBox([ONE]).encrypt(b"secret", "key")
    both = SecretBox([OTHER, ONE])
    assert both.decrypt(old, "key") == b"secret"
    new = both.encrypt(b"secret", "key")
    assert SecretBox([OTHER]).decrypt(new, "key") == b"secret"


def test_decrypt_reloads_keys_for_a_ciphertext_of_an_unknown_master_key() -> None:
    held = [[ONE]]
    reads: list[int] = []

    def read() -> list[bytes]:
        reads.append(1)
        return held[0]

    secret_box = SecretBox([ONE], read)
    assert secret_box.decrypt(secret_box.encrypt(b"a", "key"), "key") == b"a"
    assert not reads
    held[0] = [OTHER, ONE]
    assert secret_box.decrypt(SecretBox([OTHER]).encrypt(b"b", "key"), "key") == b"b"
    assert SecretBox([OTHER]).decrypt(secret_box.encrypt(b"c", "key"), "key") == b"c"
    assert len(reads) == 1
    with pytest.raises(InternalError):
        secret_box.decrypt(SecretBox([b"3" * 32]).encrypt(b"d", "key"), "key")


def test_new_master_key_can_be_read() -> None:
    made = [new_master_key() for _ in range(50)]
    assert len({key for text in made for key in read_master_keys(text, "test")}) == 50


@pytest.mark.parametrize("between", [",", "\n", " ", ",\n", " \t\r\n"])
def test_read_master_keys_returns_several_in_their_order(between: str) -> None:
    texts = [base64.urlsafe_b64encode(key).decode() for key in (b"\xff" * 32, ONE, OTHER)]
    assert "_" in texts[0]
    assert read_master_keys(f"\n{between.join(texts)}\n", "test") == [b"\xff" * 32, ONE, OTHER]


@pytest.mark.parametrize(
    "text",
    [
        "tooshort",
        base64.urlsafe_b64encode(b"x" * 31).decode(),
        base64.urlsafe_b64encode(b"x" * 33).decode(),
        base64.urlsafe_b64encode(ONE).decode().rstrip("="),
        base64.urlsafe_b64encode(ONE).decode() + ",broken",
        "schlüssel",
        "hex:" + ONE.hex(),
    ],
)
def test_read_master_keys_refuses_a_malformed_key_without_quoting_it(text: str) -> None:
    with pytest.raises(
        ConfigError, match="the file: not a master key; allowed is 32 bytes"
    ) as caught:
        read_master_keys(text, "the file")
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["", " \n", ","])
def test_read_master_keys_refuses_an_empty_text(text: str) -> None:
    with pytest.raises(ConfigError, match="the file: holds no master key"):
        read_master_keys(text, "the file")
