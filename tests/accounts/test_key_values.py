import pytest

from openpns import limits
from openpns.accounts import key_values
from openpns.errors import ConfigError


def test_addresses_are_stored_in_one_form() -> None:
    assert key_values.addresses_text(None) is None
    assert key_values.addresses_text([" 192.0.2.0/24", "::1/128"]) == "192.0.2.0/24,::1"


@pytest.mark.parametrize("count", [0, limits.KEY_ADDRESSES_MAX + 1])
def test_too_few_or_too_many_addresses_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="addresses: allowed are 1 to 64"):
        key_values.addresses_text([f"10.0.0.{number}" for number in range(count)])


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="addresses: 'here': allowed is an address"):
        key_values.addresses_text(["here"])


def test_actions_are_stored_once_in_their_order() -> None:
    assert key_values.actions_text(None) is None
    assert key_values.actions_text(["b", "a", "b"]) == "b,a"


@pytest.mark.parametrize("actions", [[], ["a,b"], [""], ["a" * 65], [f"a{n}" for n in range(101)]])
def test_what_is_no_list_of_actions_is_refused(actions: list[str]) -> None:
    with pytest.raises(ConfigError, match="actions: allowed are 1 to 100 names"):
        key_values.actions_text(actions)
