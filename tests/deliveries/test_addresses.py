import ipaddress
import socket

import pytest

from openpns.deliveries import addresses
from openpns.deliveries.addresses import is_own, refusal
from openpns.kit.networks import Networks

NOTHING = Networks("")


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254"),
        *("100.100.100.200", "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
        *("192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("2001:db8::1", "3fff::1", "2001:10::1", "100::1", "5f00::1", "4000::1"),
        *("::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1"),
        *("64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1"),
        *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:0a00:0001::1"),
        # Teredo, with a public and with a private address inside.
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:4136:e378:8000:63bf:f5ff:fffe"),
        *("localhost", "", "1.2.3"),
    ],
)
def test_special_addresses_are_refused(address: str) -> None:
    assert refusal(address, NOTHING)


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1"),
        *("192.0.1.1", "192.167.255.255", "223.255.255.255", "2606:4700:4700::1111"),
        *("2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"),
    ],
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert refusal(address, NOTHING) is None


@pytest.mark.parametrize(
    ("allowed", "address", "is_allowed"),
    [
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.0/8", "::ffff:127.0.0.1", True),
        ("127.0.0.0/8", "::1", False),
        ("127.0.0.0/8", "10.0.0.1", False),
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "10.2.2.3", False),
        ("10.1.0.0/16", "64:ff9b::10.1.2.3", True),
        ("::1", "::1", True),
        ("fd00:1::/64", "fd00:1::5", True),
        ("fd00:1::/64", "fd00:2::5", False),
        ("::ffff:10.1.0.0/112", "10.1.2.3", True),
    ],
)
def test_setting_allows_networks(allowed: str, address: str, *, is_allowed: bool) -> None:
    assert (refusal(address, Networks(allowed)) is None) == is_allowed


def test_refusal_says_what_an_address_is() -> None:
    assert refusal("127.0.0.1", NOTHING) == "loopback"
    assert refusal("169.254.169.254", NOTHING) == "link-local, with metadata of clouds"
    assert refusal("::ffff:10.0.0.1", NOTHING) == "private"


def test_own_address_of_this_machine_is_found_also_if_it_is_public(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_own(ipaddress.ip_address("127.0.0.1"))
    assert is_own(ipaddress.ip_address("127.9.8.7"))
    assert not is_own(ipaddress.ip_address("192.0.2.1"))
    # A public address of an interface looks the same to the system.
    monkeypatch.setattr(addresses, "is_own", lambda address: str(address) == "8.8.8.8")
    assert refusal("8.8.8.8", NOTHING) == "an address of this machine"
    assert refusal("::ffff:8.8.8.8", NOTHING) == "an address of this machine"
    assert refusal("8.8.8.8", Networks("8.8.8.8")) is None


def test_own_address_is_found_if_programs_may_bind_any_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "_can_bind", lambda _: True)
    assert is_own(ipaddress.ip_address("127.0.0.1"))
    assert not is_own(ipaddress.ip_address("192.0.2.7"))

    def refuse(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert not is_own(ipaddress.ip_address("127.0.0.1"))
