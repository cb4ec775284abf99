"""The steps of `openpns doctor`: each finds out one thing and says what to do where it fails.

Secrets, signatures and bodies stand in no text.
"""

import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
import msgspec

from openpns import limits
from openpns.cli.profile import Target
from openpns.client.answers import Response, read_result
from openpns.client.config import DEFAULT_PROFILE, ClientConfig, Secret, config_file
from openpns.client.exchange import Exchanger, Send
from openpns.client.group_requests import list_groups
from openpns.client.group_types import GroupPage
from openpns.client.requests import RawRequest
from openpns.clock import now_ms
from openpns.errors import (
    AnswerUnreadable,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    InvalidSignature,
    OpenPNSError,
    PermissionDenied,
    ServiceUnavailable,
    TimestampExpired,
    TransportError,
    WireError,
)

_TIMEOUT_S: Final = 10.0
_ACTION: Final = "listGroup"
_SETTINGS: Final = ("base_url", "access_key", "access_secret")
_PORTS: Final = {"http": 80, "https": 443}
_DAYS_LEFT_MIN: Final = 14

_CLOCK_ADVICE: Final = "Set this machine's clock by a time server, or the server's."
_SERVER_ADVICE: Final = "Try again; tell the operator if it stays so."


class Failed(Exception):
    """A step failed.

    Args:
        error: What it means; its class decides the exit code.
        detail: What was found.
        advice: What to do.
    """

    def __init__(self, error: OpenPNSError, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail
        self.advice = advice


class Checkup:
    """Checks a profile, step by step; a step relies on those before it.

    Args:
        target: What the command line says.
    """

    _config: ClientConfig

    def __init__(self, target: Target) -> None:
        self._target = target
        self._host = ""
        self._port = 0
        self._proxy = ""
        self._offset_s: float | None = None

    def steps(self) -> Iterator[tuple[str, Callable[[], str | None]]]:
        """Return each step's name and the function that takes it.

        A function returns what it found, None where there was nothing to check; it raises
        Failed.
        """
        yield "settings", self._check_settings
        yield "dns", self._check_dns
        yield "connect", self._check_connect
        yield "tls", self._check_tls
        yield "http", self._check_http
        yield "clock", self._check_clock
        yield "key", self._check_key
        yield "signature", self._check_signature
        yield "permission", self._check_permission

    def _check_settings(self) -> str:
        try:
            self._config = config = self._target.load()
        except ConfigError as error:
            raise Failed(error, str(error), "Set it; openpns doctor --help shows how.") from None
        parts = urlsplit(config.url)
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._find_proxy(parts.scheme)
        where = {name: self._source(name) for name in _SETTINGS}
        secret = f"secret of {len(config.access_secret.reveal())} characters"
        return (
            f"{config.url} {where['base_url']}; access key {config.access_key} "
            f"{where['access_key']}; {secret} {where['access_secret']}; {config.algorithm}"
        )

    def _source(self, name: str) -> str:
        if getattr(self._target, name, None):
            return f"from --{name.replace('_', '-')}"
        variable = f"OPENPNS_{name.upper()}"
        if os.environ.get(variable):
            return f"from {variable}"
        profile = self._target.profile or os.environ.get("OPENPNS_PROFILE") or DEFAULT_PROFILE
        return f"from the profile {profile} of {config_file()}"

    def _find_proxy(self, scheme: str) -> None:
        """Note the proxy that calls go through: then it is the one to reach."""
        proxies = getproxies()
        proxy = proxies.get(scheme) or proxies.get("all")
        if not proxy or proxy_bypass(self._host):
            return
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        self._host, self._port = parts.hostname or "", parts.port or _PORTS["http"]
        self._proxy = "the proxy "

    def _check_dns(self) -> str:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "no valid name"
            raise Failed(
                ConnectFailed(_ACTION, f"no address for {self._host}"),
                f"{self._proxy}{self._host}: {why}",
                "Check the name in base_url, and this machine's DNS.",
            ) from None
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        return f"{self._proxy}{self._host} is {', '.join(addresses)}"

    def _check_connect(self) -> str:
        begun = time.monotonic()
        try:
            socket.create_connection((self._host, self._port), _TIMEOUT_S).close()
        except OSError as error:
            why = error.strerror or str(error)
            raise Failed(
                ConnectFailed(_ACTION, f"cannot connect to {self._host}:{self._port} ({why})"),
                f"{self._proxy}{self._host}:{self._port}: {why}",
                "Check the port in base_url, whether the server runs, and firewalls in between.",
            ) from None
        took_ms = (time.monotonic() - begun) * 1000
        return f"{self._proxy}{self._host}:{self._port} in {took_ms:.0f} ms"

    def _check_tls(self) -> str | None:
        if self._proxy or not self._config.url.startswith("https:"):
            return None
        context = httpx2.create_ssl_context()
        try:
            with (
                socket.create_connection((self._host, self._port), _TIMEOUT_S) as plain,
                context.wrap_socket(plain, server_hostname=self._host) as wrapped,
            ):
                version, certificate = wrapped.version(), wrapped.getpeercert() or {}
        except OSError as error:
            why = getattr(error, "verify_message", None) or error.strerror or type(error).__name__
            raise Failed(
                ConnectFailed(_ACTION, f"TLS failed ({why})"),
                why,
                "Check that base_url's port speaks TLS and that its certificate is good for this "
                "name; SSL_CERT_FILE can name a CA of your own.",
            ) from None
        return f"{version}{_expiry(certificate)}"

    def _check_http(self) -> str:
        begun_s = time.time()
        response = self._post(Send({"Content-Type": "application/json"}, b"{}"))
        middle_s = (begun_s + time.time()) / 2
        found = f"HTTP {response.status}"
        try:
            read_result(RawRequest(_ACTION), response)
        except AnswerUnreadable as error:
            raise Failed(
                error, error.msg, "Check base_url: its path, and what stands between."
            ) from None
        except WireError as error:
            found += f", code {error.code}"
            if error.server_time is not None:
                # Date is the beginning of a second: on average half a second has passed.
                self._offset_s = error.server_time.timestamp() + 0.5 - middle_s
            if error.http_status in (404, 405):
                raise Failed(error, error.msg, "Check the path of base_url.") from None
            if isinstance(error, ServiceUnavailable):
                raise Failed(error, error.msg, _SERVER_ADVICE) from None
        return f"answers as this API ({found})"

    def _check_clock(self) -> str | None:
        if self._offset_s is None:
            return None
        side = "behind" if self._offset_s > 0 else "ahead of"
        off = f"{abs(self._offset_s):.0f} s {side} the server's"
        if abs(self._offset_s) * 1000 > limits.TS_SKEW_MS_MAX:
            allowed_s = limits.TS_SKEW_MS_MAX // 1000
            raise Failed(
                TimestampExpired(f"this machine's clock is {off}"),
                f"{off}; allowed are {allowed_s} s",
                _CLOCK_ADVICE,
            )
        return "right to the second" if abs(self._offset_s) <= 1 else off

    def _check_key(self) -> str:
        self._refusal: WireError | None = None
        self._page = GroupPage([], 0)
        try:
            self._page = self._call(self._config)
        except PermissionDenied as error:
            # The key comes before the signature, what it may do after it. So a wrong signature
            # is answered 1003 for a known key, and 1005 for an unknown one.
            if not self._is_key_known():
                raise Failed(
                    error, error.msg, "Ask the operator: openpns keys list shows the keys."
                ) from None
            self._refusal = error
        except WireError as error:
            if error.http_status >= 500:  # noqa: PLR2004
                raise Failed(error, error.msg, _SERVER_ADVICE) from None
            self._refusal = error
        return f"{self._config.access_key} is known"

    def _check_signature(self) -> str:
        error = self._refusal
        if isinstance(error, InvalidSignature):
            raise Failed(
                error,
                error.msg,
                "The secret is not this access key's; openpns keys rotate gives a new one.",
            )
        if isinstance(error, TimestampExpired):
            raise Failed(error, error.msg, _CLOCK_ADVICE)
        return f"accepted ({self._config.algorithm})"

    def _check_permission(self) -> str:
        if self._refusal is not None:
            raise Failed(
                self._refusal,
                f"{_ACTION}: {self._refusal.msg}",
                "Ask the operator: openpns customers list shows who may call.",
            )
        return f"{_ACTION}: {self._page.total} groups"

    def _is_key_known(self) -> bool:
        try:
            wrong = msgspec.structs.replace(self._config, access_secret=Secret(secrets.token_hex()))
            self._call(wrong)
        except InvalidSignature:
            return True
        except WireError:
            return False
        return True

    def _call(self, config: ClientConfig) -> GroupPage:
        request = list_groups(limit=1)
        step = Exchanger(config, now_ms).sign(request)
        try:
            return read_result(request, self._post(step))
        except TransportError as error:
            raise Failed(error, error.msg, _SERVER_ADVICE) from None

    def _post(self, step: Send) -> Response:
        try:
            with httpx2.Client(timeout=_TIMEOUT_S) as http:
                answer = http.post(self._config.url, content=step.content, headers=step.headers)
        except httpx2.HTTPError as error:
            why = f"no answer came ({type(error).__name__})"
            advice = "Check that the port in base_url speaks HTTP, with or without TLS as it says."
            raise Failed(ConnectionLost(_ACTION, why), why, advice) from None
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, answer.content)


def _expiry(certificate: Any) -> str:
    if "notAfter" not in certificate:
        return ""
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (until - datetime.now(UTC)).days
    soon = f"; only {days} days left" if days < _DAYS_LEFT_MIN else ""
    return f", certificate good until {until:%Y-%m-%d}{soon}"
