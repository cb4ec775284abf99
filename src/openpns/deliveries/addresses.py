"""Which addresses a webhook may be at: public ones, and those that a setting allows.

An address is judged when a connection is opened, right before that: see `connecting`.
"""

import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from openpns.kit.networks import Networks

_REFUSED_4: Final = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's metadata"),
        ("169.254.0.0/16", "link-local, with metadata of clouds"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_REFUSED_6: Final = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fe80::/10", "link-local"),
        ("fc00::/7", "private, with metadata of clouds"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("3fff::/20", "for documentation"),
    )
)
_GLOBAL_6: Final = IPv6Network("2000::/3")
"""What is assigned to hosts that all can reach."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOW_32: Final = 2**32 - 1
_ANY_PORT: Final = 9
_FOREIGN_4: Final = IPv4Address("192.0.2.1")
_FOREIGN_6: Final = IPv6Address("2001:db8::1")
"""Addresses that no machine has: they are for documentation."""


def refusal(text: str, allowed: Networks) -> str | None:
    """Return why an address must not be connected to, in a few words; None if it may be.

    An IPv6 address that leads to an IPv4 address is judged as that one, too.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "not an IP address"
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "link-local"
    return _refusal(address, allowed)


def _refusal(address: IPv4Address | IPv6Address, allowed: Networks) -> str | None:
    if isinstance(address, IPv4Address):
        what = None if str(address) in allowed else _find(address, _REFUSED_4)
    elif address.ipv4_mapped is not None:
        return _refusal(address.ipv4_mapped, allowed)
    else:
        what = None if str(address) in allowed else _refusal_6(address, allowed)
    if what is None and str(address) not in allowed and is_own(address):
        what = "an address of this machine"
    return what


def _refusal_6(address: IPv6Address, allowed: Networks) -> str | None:
    inner = _inner(address)
    what = None if inner is None else _refusal(inner, allowed)
    what = what or _find(address, _REFUSED_6)
    is_public = address in _GLOBAL_6 or address in _NAT64
    return what or (None if is_public else "not a public address")


def _find(
    address: IPv4Address | IPv6Address,
    networks: Iterable[tuple[IPv4Network | IPv6Network, str]],
) -> str | None:
    return next((what for network, what in networks if address in network), None)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address to which an IPv6 address leads."""
    if address in _NAT64:
        return IPv4Address(int(address) & _LOW_32)
    return address.sixtofour or (address.teredo or (None, None))[1]


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is one of this machine's interfaces. Nothing is sent."""
    foreign = _FOREIGN_4 if isinstance(address, IPv4Address) else _FOREIGN_6
    if _can_bind(foreign):  # the system lets programs bind any address
        return _sends_from(address)
    return _can_bind(address)


def _can_bind(address: IPv4Address | IPv6Address) -> bool:
    try:
        with _socket(address) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _sends_from(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the system would send to an address from the address itself."""
    try:
        with _socket(address) as probe:
            probe.connect((str(address), _ANY_PORT))
            return bool(ipaddress.ip_address(probe.getsockname()[0]) == address)
    except OSError:  # no route: nothing can be connected to either
        return False


def _socket(address: IPv4Address | IPv6Address) -> socket.socket:
    is_4 = isinstance(address, IPv4Address)
    return socket.socket(socket.AF_INET if is_4 else socket.AF_INET6, socket.SOCK_DGRAM)
