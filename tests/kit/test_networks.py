import pytest

from openpns.kit.networks import Networks


def test_contains_compares_addresses_of_both_kinds() -> None:
    networks = Networks("192.0.2.0/24, 2001:db8::/32,10.0.0.1")
    inside = ("192.0.2.0", "192.0.2.255", "2001:db8::1", "10.0.0.1", "::ffff:192.0.2.7")
    outside = ("192.0.3.0", "2001:db9::1", "10.0.0.2", "::192.0.2.7", "", "x", "192.0.2", "unknown")
    assert all(address in networks for address in inside)
    assert not any(address in networks for address in outside)


def test_contains_ignores_the_zone_of_a_link_local_address() -> None:
    assert "fe80::1%eth0" in Networks("fe80::/10")


@pytest.mark.parametrize(
    ("mapped", "same"),
    [
        ("::ffff:10.0.0.6", "10.0.0.6"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_networks_that_are_mapped_to_ipv6_are_ipv4(mapped: str, same: str) -> None:
    networks = Networks(mapped)
    assert str(networks) == same
    assert "10.0.0.6" in networks
    assert "::ffff:10.0.0.6" in networks


def test_networks_that_hold_more_than_mapped_addresses_stay_ipv6() -> None:
    assert str(Networks("::fffe:0:0/95,::/0")) == "::fffe:0:0/95,::/0"


def test_no_networks_contain_nothing() -> None:
    assert len(Networks()) == len(Networks("  ")) == 0
    assert "127.0.0.1" not in Networks()


def test_str_is_the_same_networks_once() -> None:
    text = "192.0.2.0/24,::1,10.0.0.1"
    assert str(Networks(f" {text}, ::1/128 ,10.0.0.1/32")) == text
    assert Networks(text) == Networks(str(Networks(text)))
    assert Networks(text) != Networks("::1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.1/8", "'10.0.0.1/8': has bits behind its prefix; the network is 10.0.0.0/8"),
        ("10.0.0.1,", "'': allowed is an address or a network such as 192.0.2.0/24"),
        ("example.com", "'example.com': allowed is"),
        ("10.0.0.0/33", "'10.0.0.0/33': allowed is"),
    ],
)
def test_networks_refuse_what_is_neither_address_nor_network(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Networks(text)
