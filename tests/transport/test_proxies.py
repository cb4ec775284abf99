import pytest

from openpns.kit.networks import Networks
from openpns.transport.messages import Request
from openpns.transport.proxies import TrustedProxies

PROXIES = TrustedProxies(Networks("10.0.0.0/8"))
CLIENT = "192.0.2.7"


def request(address: str, **headers: str) -> Request:
    found = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return Request(b"POST", b"/", found, [], 0.0, address=address)


@pytest.mark.parametrize(
    ("address", "forwarded", "client"),
    [
        (CLIENT, "", CLIENT),
        (CLIENT, "10.0.0.9", CLIENT),  # made up: no trusted proxy has sent it
        ("10.0.0.1", CLIENT, CLIENT),
        ("10.0.0.1", f"198.51.100.1, {CLIENT}", CLIENT),  # the client made the first one up
        ("10.0.0.1", f"198.51.100.1,{CLIENT} , 10.0.0.2", CLIENT),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "unknown", ""),
        ("10.0.0.1", f"{CLIENT}, _hidden", ""),
        ("10.0.0.1", f"{CLIENT},", ""),
        ("::ffff:10.0.0.1", CLIENT, CLIENT),
    ],
)
def test_client_address_is_the_last_that_is_no_trusted_proxy(
    address: str, forwarded: str, client: str
) -> None:
    headers = {"x_forwarded_for": forwarded} if forwarded else {}
    assert PROXIES.client_address(request(address, **headers)) == client


def test_without_trusted_proxies_forwarded_headers_do_not_count() -> None:
    sent = request("10.0.0.1", x_forwarded_for=CLIENT, x_forwarded_host="a", host="b")
    assert TrustedProxies().client_address(sent) == "10.0.0.1"
    assert TrustedProxies().host(sent) == b"b"


@pytest.mark.parametrize(
    ("address", "forwarded", "host"),
    [
        (CLIENT, "made.up", b"sent"),
        ("10.0.0.1", "", b"sent"),
        ("10.0.0.1", "pns.example.com", b"pns.example.com"),
        ("10.0.0.1", "made.up, pns.example.com", b"pns.example.com"),
    ],
)
def test_host_is_the_forwarded_one_of_a_trusted_proxy(
    address: str, forwarded: str, host: bytes
) -> None:
    assert PROXIES.host(request(address, host="sent", x_forwarded_host=forwarded)) == host
    assert PROXIES.host(request(address)) == b""
