"""IP networks as text, and whether an address is in one of them."""

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

_ADDRESSES_CACHED = 1024
_MAPPED_PREFIX = 96
"""The length of the prefix ::ffff:0:0, before an IPv4 address that is mapped to IPv6."""


class Networks:
    """Some IP networks, IPv4 and IPv6.

    Args:
        text: Addresses and networks in CIDR notation, with commas between them; those that are
            mapped to IPv6, such as ::ffff:192.0.2.0/120, count as IPv4.

    Raises:
        ValueError: An item is neither; the text says which, and what is allowed.
    """

    __slots__ = ("_networks",)

    def __init__(self, text: str = "") -> None:
        items = [item.strip() for item in text.split(",")] if text.strip() else []
        self._networks = tuple(dict.fromkeys(_parse(item) for item in items))

    def __contains__(self, address: str) -> bool:
        """Return whether an address is in one of the networks; not if it is no address."""
        found = parse_address(address)
        return found is not None and any(found in network for network in self._networks)

    def __len__(self) -> int:
        return len(self._networks)

    def __str__(self) -> str:
        """Return the text that makes the same networks; a single address has no prefix."""
        return ",".join(
            str(one.network_address) if one.prefixlen == one.max_prefixlen else str(one)
            for one in self._networks
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self._networks == other._networks

    def __hash__(self) -> int:
        return hash(self._networks)

    def __repr__(self) -> str:
        return f"Networks({str(self)!r})"


@lru_cache(_ADDRESSES_CACHED)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an IP address; an IPv4 address that is mapped to IPv6 as IPv4; None for other text."""
    try:
        found = ip_address(text.partition("%")[0])  # without the zone of a link-local address
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _parse(item: str) -> IPv4Network | IPv6Network:
    try:
        return _unmapped(ip_network(item))
    except ValueError:
        pass
    try:
        wanted = ip_network(item, strict=False)
    except ValueError:
        raise ValueError(
            f"{item!r}: allowed is an address or a network such as 192.0.2.0/24 or 2001:db8::/32"
        ) from None
    raise ValueError(f"{item!r}: has bits behind its prefix; the network is {wanted}")


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return a network of mapped IPv4 addresses as IPv4, as `parse_address` returns addresses."""
    first, prefix = network.network_address, network.prefixlen - _MAPPED_PREFIX
    if not isinstance(first, IPv6Address) or first.ipv4_mapped is None or prefix < 0:
        return network
    return IPv4Network((first.ipv4_mapped, prefix))
