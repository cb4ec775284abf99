"""The steps of `openpns doctor`. Each checks one thing and says what to do if it fails.

No text contains a secret, a signature or a body.
"""

import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

import httpx2
import msgspec

from openpns import errors, limits
from openpns.client.answers import Response, read_result
from openpns.client.config import DEFAULT_PROFILE, ClientConfig, Secret, config_file, load_config
from openpns.client.connections import Connections
from openpns.client.exchange import Exchanger, Send
from openpns.client.group_requests import list_groups
from openpns.client.group_types import GroupPage
from openpns.client.receive import AttemptError, receive
from openpns.client.requests import RawRequest
from openpns.client.route import find_proxy, parse_url, tls_context
from openpns.clock import now_ms
from openpns.errors import OpenPNSError, WireError

_TIMEOUT_S: Final = 10.0
_ACTION: Final = "listGroup"
_SETTINGS: Final = ("base_url", "access_key", "access_secret")
_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_DAYS_LEFT_MIN: Final = 14

_CLOCK_ADVICE: Final = "Synchronise this machine's clock, or the server's, with a time server."
_ENVIRONMENT_ADVICE: Final = "Correct the environment variable, or unset it."
_SERVER_ADVICE: Final = "Try again; report it to the operator if it persists."


class StepFailed(Exception):
    """A step failed. The detail is what was found, by default the error's text."""

    def __init__(self, error: OpenPNSError, advice: str, detail: str = "") -> None:
        self.error = error
        self.advice = advice
        self.detail = detail or getattr(error, "msg", str(error))
        super().__init__(self.detail)


class Doctor:
    """Checks whether requests work, step by step. Each step relies on those before it.

    Args:
        given: The settings `base_url`, `access_key` and `profile`, if given as arguments.
    """

    _config: ClientConfig

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._host = ""
        self._port = 0
        self._proxy = ""
        self._offset_s: float | None = None

    def steps(self) -> Iterator[tuple[str, Callable[[], str | None]]]:
        """Return each step's name and its function, which returns what it found, or None."""
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
            found = load_config(**self._given)
            self._url = parse_url(found.url)
        except errors.ConfigError as error:
            raise StepFailed(error, "Set it; see openpns doctor --help.") from None
        self._config = config = msgspec.structs.replace(
            found, timeout_s=_TIMEOUT_S, deadline_s=_TIMEOUT_S
        )
        scheme = self._url.scheme
        self._host, self._port = self._url.raw_host.decode(), self._url.port or _PORTS[scheme]
        self._find_proxy()
        source = {name: self._source(name) for name in _SETTINGS}
        secret = f"secret of {len(config.access_secret.reveal())} characters"
        return (
            f"{config.url} {source['base_url']}; access key {config.access_key} "
            f"{source['access_key']}; {secret} {source['access_secret']}; {config.algorithm}"
            f"{self._exposure(scheme)}"
        )

    def _exposure(self, scheme: str) -> str:
        if scheme == "http" and self._proxy:
            return "; plain HTTP: the proxy, and anybody on the way, can read and change requests"
        if self._config.is_exposed:
            return "; plain HTTP: anybody on the way can read and change requests"
        return ""

    def _source(self, name: str) -> str:
        if self._given.get(name):
            return f"from --{name.replace('_', '-')}"
        variable = f"OPENPNS_{name.upper()}"
        if os.environ.get(variable):
            return f"from {variable}"
        profile = self._given["profile"] or os.environ.get("OPENPNS_PROFILE") or DEFAULT_PROFILE
        return f"from the profile {profile} of {config_file()}"

    def _find_proxy(self) -> None:
        """Find the proxy that requests go through: then the steps connect to it."""
        try:
            proxy = find_proxy(self._url)
        except errors.ConfigError as error:
            raise StepFailed(error, _ENVIRONMENT_ADVICE) from None
        if proxy is not None:
            self._host = proxy.url.raw_host.decode()
            self._port = proxy.url.port or _PORTS[proxy.url.scheme]
            self._proxy = "the proxy "

    def _check_dns(self) -> str:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "not a valid name"
            raise StepFailed(
                errors.ConnectFailed(_ACTION, f"no address for {self._host}"),
                "Check the name in base_url, and this machine's DNS.",
                f"{self._proxy}{self._host}: {why}",
            ) from None
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        return f"{self._proxy}{self._host} is {', '.join(addresses)}"

    def _check_connect(self) -> str:
        begun = time.monotonic()
        try:
            socket.create_connection((self._host, self._port), _TIMEOUT_S).close()
        except OSError as error:
            why = error.strerror or str(error)
            raise StepFailed(
                errors.ConnectFailed(
                    _ACTION, f"cannot connect to {self._host}:{self._port} ({why})"
                ),
                "Check the port in base_url, that the server runs, and firewalls in between.",
                f"{self._proxy}{self._host}:{self._port}: {why}",
            ) from None
        took_ms = (time.monotonic() - begun) * 1000
        return f"{self._proxy}{self._host}:{self._port} in {took_ms:.0f} ms"

    def _check_tls(self) -> str | None:
        if self._proxy or not self._config.url.startswith("https:"):
            return None
        try:
            context = tls_context()
        except errors.ConfigError as error:
            raise StepFailed(error, _ENVIRONMENT_ADVICE) from None
        try:
            with (
                socket.create_connection((self._host, self._port), _TIMEOUT_S) as plain,
                context.wrap_socket(plain, server_hostname=self._host) as wrapped,
            ):
                version, certificate = wrapped.version(), wrapped.getpeercert() or {}
        except OSError as error:
            why = getattr(error, "verify_message", None) or error.strerror or type(error).__name__
            raise StepFailed(
                errors.ConnectFailed(_ACTION, f"TLS failed ({why})"),
                "Check that base_url's port speaks TLS and that its certificate is valid for this "
                "name; SSL_CERT_FILE can name your own CA.",
                why,
            ) from None
        return f"{version}{_expiry(certificate)}"

    def _check_http(self) -> str:
        begun_s = time.time()
        ends = time.monotonic() + _TIMEOUT_S
        response = self._post(Send({"Content-Type": "application/json"}, b"{}", ends))
        middle_s = (begun_s + time.time()) / 2
        found = f"HTTP {response.status}"
        try:
            read_result(RawRequest(_ACTION), response)
        except errors.AnswerUnreadable as error:
            raise StepFailed(error, "Check base_url, its path, and any proxy in between.") from None
        except WireError as error:
            found += f", code {error.code}"
            if error.server_time is not None:
                # Date is cut to a second: on average half a second has passed.
                self._offset_s = error.server_time.timestamp() + 0.5 - middle_s
            if error.http_status in (404, 405):
                raise StepFailed(error, "Check the path of base_url.") from None
            if isinstance(error, errors.ServiceUnavailable):
                raise StepFailed(error, _SERVER_ADVICE) from None
        return f"responds with this API ({found})"

    def _check_clock(self) -> str | None:
        if self._offset_s is None:
            return None
        side = "behind" if self._offset_s > 0 else "ahead of"
        off = f"{abs(self._offset_s):.0f} s {side} the server's"
        if abs(self._offset_s) * 1000 > limits.TS_SKEW_MS_MAX:
            allowed_s = limits.TS_SKEW_MS_MAX // 1000
            raise StepFailed(
                errors.TimestampExpired(f"this machine's clock is {off}"),
                _CLOCK_ADVICE,
                f"{off}; the maximum is {allowed_s} s",
            )
        return "correct to the second" if abs(self._offset_s) <= 1 else off

    def _check_key(self) -> str:
        self._refusal: WireError | None = None
        self._page = GroupPage([], 0)
        try:
            self._page = self._send(self._config)
        except errors.PermissionDenied as error:
            # The server checks the key, then the signature, then permissions. So a wrong signature
            # is answered 1003 for a known key and 1005 for an unknown one.
            if not self._is_key_known():
                raise StepFailed(
                    error, "Ask the operator: openpns keys list shows the keys."
                ) from None
            self._refusal = error
        except WireError as error:
            if error.http_status >= 500:  # noqa: PLR2004
                raise StepFailed(error, _SERVER_ADVICE) from None
            self._refusal = error
        return f"{self._config.access_key} is known"

    def _check_signature(self) -> str:
        error = self._refusal
        if isinstance(error, errors.InvalidSignature) and error.detail:
            raise StepFailed(error, "Set algorithm in the profile, or OPENPNS_ALGORITHM.")
        if isinstance(error, errors.InvalidSignature):
            raise StepFailed(
                error,
                "The secret does not belong to this key; openpns keys rotate creates a new one.",
            )
        if isinstance(error, errors.TimestampExpired):
            raise StepFailed(error, _CLOCK_ADVICE)
        return f"accepted ({self._config.algorithm})"

    def _check_permission(self) -> str:
        if self._refusal is not None:
            raise StepFailed(
                self._refusal,
                "Ask the operator: openpns customers list shows disabled customers, openpns keys "
                "list the actions and addresses of the key.",
                f"{_ACTION}: {self._refusal.msg}",
            )
        return f"{_ACTION}: {self._page.total} groups"

    def _is_key_known(self) -> bool:
        try:
            wrong = msgspec.structs.replace(self._config, access_secret=Secret(secrets.token_hex()))
            self._send(wrong)
        except errors.InvalidSignature:
            return True
        except WireError:
            return False
        return True

    def _send(self, config: ClientConfig) -> GroupPage:
        request = list_groups(limit=1)
        step = Exchanger(config, now_ms).sign(request)
        try:
            return read_result(request, self._post(step))
        except errors.TransportError as error:
            raise StepFailed(error, _SERVER_ADVICE) from None

    def _post(self, step: Send) -> Response:
        try:
            with closing(Connections(self._url)) as connections:
                return receive(connections, self._url, step, self._config)
        except AttemptError as error:
            failure = error.kind(_ACTION, error.why)
        except httpx2.HTTPError as error:
            failure = errors.ConnectionLost(_ACTION, f"no response ({type(error).__name__})")
        advice = "Check that the port in base_url speaks HTTP, and whether it needs TLS."
        raise StepFailed(failure, advice)


def _expiry(certificate: Any) -> str:
    if "notAfter" not in certificate:
        return ""
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (until - datetime.now(UTC)).days
    soon = f"; only {days} days left" if days < _DAYS_LEFT_MIN else ""
    return f", certificate valid until {until:%Y-%m-%d}{soon}"
