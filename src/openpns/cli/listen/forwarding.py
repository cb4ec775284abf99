"""Send a verified delivery on to another URL, byte for byte."""

import re
import ssl
from collections.abc import Sequence
from typing import Final

import httpx2
import msgspec

from openpns.client.route import tls_context
from openpns.errors import ConfigError
from openpns.kit.networks import parse_address

Pairs = Sequence[tuple[str, str]]
"""Headers, each with its value, in Latin-1 as `http.server` reads them."""

_TIMEOUT_S: Final = 10.0
"""Of each step; the server itself waits for 15 s by default."""
_STATUSES: Final = range(200, 600)
_RETRY_AFTER: Final = re.compile(r"[A-Za-z0-9 ,:]{1,40}", re.ASCII)
"""Seconds or a date."""
_NOT_FORWARDED: Final = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate"),
        *("proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""They belong to one connection; those of the new one are made for it."""


class Answer(msgspec.Struct, frozen=True):
    """What a delivery is answered with.

    Attributes:
        text: The body; a line of text for people.
        retry_after: The header Retry-After, if there is one.
    """

    status: int
    text: str
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the sender counts the event as delivered."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's


class Forwarder:
    """Sends deliveries to a URL. No proxy, no redirect, no cookies. Thread-safe.

    Raises:
        ConfigError: It is not a URL that can be used.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        is_encrypted = self._url.scheme == "https"
        # Without TLS no certificate is read.
        context = tls_context() if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._transport = httpx2.HTTPTransport(verify=context, trust_env=False)

    @property
    def is_exposed(self) -> bool:
        """Whether deliveries go to another machine by plain HTTP."""
        host = self._url.host
        address = parse_address(host)
        is_here = host == "localhost" or host.endswith(".localhost")
        is_here |= address is not None and address.is_loopback
        return self._url.scheme == "http" and not is_here

    def send(self, body: bytes, headers: Pairs) -> Answer:
        """Send a delivery; return what the URL answered, 502 if it did not."""
        kept = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in headers
            if name.lower() not in _NOT_FORWARDED
        ]
        request = httpx2.Request("POST", self._url, headers=kept, content=body)
        request.extensions["timeout"] = dict.fromkeys(
            ("connect", "read", "write", "pool"), _TIMEOUT_S
        )
        try:
            response = self._transport.handle_request(request)
            response.close()  # its body is not needed
        except httpx2.ConnectError:
            return Answer(502, "the forward URL cannot be reached")
        except httpx2.TimeoutException:
            return Answer(502, f"the forward URL did not answer within {_TIMEOUT_S:.0f} s")
        except (httpx2.HTTPError, OSError):
            return Answer(502, "the connection to the forward URL was lost")
        status = response.status_code
        if status not in _STATUSES:
            return Answer(502, "the forward URL answered with a status that HTTP does not have")
        retry_after = _RETRY_AFTER.fullmatch(response.headers.get("retry-after", ""))
        return Answer(status, f"forwarded: {status}", retry_after and retry_after[0])

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()


def _parse(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        url = None
    if url is None or url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise ConfigError(
            "--forward: not a URL that can be used; allowed is one such as "
            "http://127.0.0.1:8000/webhook, without user and password"
        )
    return url
