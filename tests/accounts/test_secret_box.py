import base64

import pytest

from openpns.accounts.secret_box import SecretBox, new_master_key, read_master_keys
from openpns.errors import ConfigError, InternalError

ONE, OTHER = b"1" * 32, b"2" * 32


def test_what_was_sealed_opens_for_its_owner_alone() -> None:
    secret_box = SecretBox([ONE])
    sealed = secret_box.encrypt(b"secret", "key")
    assert secret_box.decrypt(sealed, "key") == b"secret"
    with pytest.raises(InternalError):
        secret_box.decrypt(sealed, "another")


def test_a_seal_never_looks_the_same_twice_nor_shows_what_it_holds() -> None:
    secret_box = SecretBox([ONE])
    sealed = [secret_box.encrypt(b"secret", "key") for _ in range(100)]
    assert len(set(sealed)) == 100
    assert not any(b"secret" in one or ONE in one for one in sealed)


def test_a_change_of_any_byte_is_noticed() -> None:
    secret_box = SecretBox([ONE])
    sealed = secret_box.encrypt(b"secret", "key")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(InternalError, match="cannot be opened with the master key"):
            secret_box.decrypt(bytes(changed), "key")


def test_a_cut_at_any_byte_is_noticed() -> None:
    secret_box = SecretBox([ONE])
    sealed = secret_box.encrypt(b"secret", "key")
    for length in range(len(sealed)):
        with pytest.raises(InternalError):
            secret_box.decrypt(sealed[:length], "key")


def test_another_master_key_opens_nothing() -> None:
    with pytest.raises(InternalError):
        SecretBox([OTHER]).open(SecretBox([ONE]).seal(b"secret", "key"), "key")


def test_older_master_keys_open_and_only_the_newest_seals() -> None:
    old = SecretBox([ONE]).seal(b"secret", "key")
    both = SecretBox([OTHER, ONE])
    assert both.open(old, "key") == b"secret"
    assert not both.is_newest(old)
    new = both.seal(b"secret", "key")
    assert both.is_newest(new)
    assert SecretBox([OTHER]).open(new, "key") == b"secret"


def test_keys_that_changed_meanwhile_are_read_again_when_needed() -> None:
    held = [[ONE]]
    reads: list[int] = []

    def read() -> list[bytes]:
        reads.append(1)
        return held[0]

    secret_box = SecretBox([ONE], read)
    assert secret_box.decrypt(secret_box.encrypt(b"a", "key"), "key") == b"a"
    assert not reads
    held[0] = [OTHER, ONE]
    assert secret_box.decrypt(SecretBox([OTHER]).seal(b"b", "key"), "key") == b"b"
    assert secret_box.is_newest(secret_box.encrypt(b"c", "key"))
    assert SecretBox([OTHER]).open(secret_box.encrypt(b"c", "key"), "key") == b"c"
    assert len(reads) == 1
    with pytest.raises(InternalError):
        secret_box.decrypt(SecretBox([b"3" * 32]).seal(b"d", "key"), "key")


def test_a_new_master_key_reads_as_itself() -> None:
    made = [new_master_key() for _ in range(50)]
    assert len({key for text in made for key in read_master_keys(text, "test")}) == 50


@pytest.mark.parametrize("between", [",", "\n", " ", ",\n", " \t\r\n"])
def test_several_master_keys_are_read_in_their_order(between: str) -> None:
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
def test_what_is_no_master_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(
        ConfigError, match="the file: not a master key; allowed is 32 bytes"
    ) as caught:
        read_master_keys(text, "the file")
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["", " \n", ","])
def test_no_master_key_at_all_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the file: holds no master key"):
        read_master_keys(text, "the file")
