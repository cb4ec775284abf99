"""What proxies forward of a request: the address that it came from and the host that it named.

It counts only if the proxy is trusted: anybody can send such headers.
Source: docs/operating/nodes.md, "Trusted proxies".
"""

from openpns.kit.networks import Networks, parse_address
from openpns.transport.messages import Request


class TrustedProxies:
    """The proxies whose X-Forwarded-For and X-Forwarded-Host count."""

    def __init__(self, networks: Networks | None = None) -> None:
        self._networks = networks or Networks()

    def client_address(self, request: Request) -> str:
        """Return the address that a request came from; empty if that is not known.

        Of X-Forwarded-For it is the last address that is no trusted proxy: those before it can be
        made up. If all are trusted proxies, it is the first.
        """
        address = request.address
        hops = request.headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")
        while address in self._networks and hops:
            hop = hops.pop().strip()
            if not hop and not hops:  # no header, or nothing before
                break
            if parse_address(hop) is None:
                return ""
            address = hop
        return address

    def host(self, request: Request) -> bytes:
        """Return the host that the client named; empty if it named none."""
        if request.address in self._networks:
            forwarded = request.headers.get(b"x-forwarded-host", b"").rpartition(b",")[2].strip()
            if forwarded:
                return forwarded
        return request.headers.get(b"host", b"")
