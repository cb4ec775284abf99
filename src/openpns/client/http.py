"""`Client` and `AsyncClient`: the I/O around `openpns.client.exchange`, with httpx2."""

import re
import time
import warnings
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, Generic, Self, TypeVar

import httpx2

from openpns import __version__
from openpns.client.account_requests import Limits, get_limits
from openpns.client.answers import Response
from openpns.client.config import RETRIES, ClientConfig, PlainHttpWarning, Secret, load_config
from openpns.client.exchange import Exchange, Exchanger, Send, Wait
from openpns.client.groups import AsyncGroups, Groups
from openpns.client.receive import BoundExceededError, receive, receive_async
from openpns.client.requests import Request
from openpns.clock import now_ms
from openpns.errors import (
    AnswerTooLate,
    AnswerUnreadable,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    TransportError,
)
from openpns.kit.plain_text import brief

ResultT = TypeVar("ResultT")
TransportT = TypeVar("TransportT")

_FAILURES: Final[tuple[tuple[type[httpx2.HTTPError], type[TransportError], str], ...]] = (
    (httpx2.ConnectError, ConnectFailed, "the server cannot be reached"),
    (httpx2.ConnectTimeout, ConnectFailed, "the server cannot be reached"),
    (httpx2.PoolTimeout, ConnectFailed, "no connection was free in time"),
    (httpx2.ProxyError, ConnectFailed, "the proxy refused the connection"),
    (httpx2.UnsupportedProtocol, ConnectFailed, "the URL cannot be used"),
    (httpx2.TimeoutException, AnswerTooLate, "no response in time"),
    (httpx2.DecodingError, AnswerUnreadable, "the response cannot be decoded"),
    (httpx2.HTTPError, ConnectionLost, "the connection was lost"),
)
"""What httpx2's errors mean; the first class that matches counts."""

_HEADERS: Final = {
    "User-Agent": f"openpns/{__version__} httpx2/{httpx2.__version__}",
    "Accept-Encoding": "identity",
}
_WHY_CHARS_MAX: Final = 300
_MANY_DIGITS: Final = re.compile(r"[0-9]{5,}")
"""Such as a phone: httpx2's errors quote what they cannot read."""


class _BaseClient(Generic[TransportT]):
    """The settings of both clients.

    A setting comes from the argument, else from the environment (OPENPNS_BASE_URL,
    OPENPNS_ACCESS_KEY, …), else from a profile in ~/.config/openpns/config.toml.

    Args:
        base_url: Such as `https://pns.example.com`; with a path, the whole URL of the API.
        algorithm: "md5" (the default), "sha256", or "hmac-sha256", which only openpns knows.
        profile: The name of a profile; OPENPNS_PROFILE or "default" if None.
        timeout_s: The longest wait for a connection, for sending, and for a part of the response;
            30 if None.
        deadline_s: The longest time for a request with all its attempts; 300 if None.
        response_bytes_max: A larger response is not read; 256 MiB if None.
        clock_skew_s_max: How far this machine's clock may be wrong for the client to correct it by
            the server's; 300 if None, 0 to never correct it.
        retries: How often a request is sent again, if that cannot carry out a write twice.
        retry_writes: Send a write again after its response was lost, if the server is openpns,
            which carries it out at most once (the default).
        transport: An httpx2 transport, for tests and special networks.

    Raises:
        ConfigError: A setting is missing or not allowed.

    Warns:
        PlainHttpWarning: `base_url` is plain HTTP to another machine, and no transport is given.
    """

    def __init__(
        self,
        base_url: str | None = None,
        access_key: str | None = None,
        access_secret: str | Secret | None = None,
        *,
        algorithm: str | None = None,
        profile: str | None = None,
        timeout_s: float | None = None,
        deadline_s: float | None = None,
        response_bytes_max: int | None = None,
        clock_skew_s_max: float | None = None,
        retries: int = RETRIES,
        retry_writes: bool | None = None,
        transport: TransportT | None = None,
    ) -> None:
        # Wrapped first, so that no frame of a traceback holds it in clear.
        access_secret = Secret(access_secret) if isinstance(access_secret, str) else access_secret
        config = load_config(
            base_url,
            access_key,
            access_secret,
            algorithm=algorithm,
            profile=profile,
            timeout_s=timeout_s,
            deadline_s=deadline_s,
            response_bytes_max=response_bytes_max,
            clock_skew_s_max=clock_skew_s_max,
            retries=retries,
            retry_writes=retry_writes,
        )
        self._url = _parse_url(config.url)
        self._exchanger = Exchanger(config, now_ms)
        if config.is_exposed and transport is None:
            warnings.warn(
                f"{config.url} is plain HTTP to another machine: anybody on the way can read phone "
                "numbers and change requests; use https",
                PlainHttpWarning,
                stacklevel=2,
            )
        self._open(transport)

    @property
    def config(self) -> ClientConfig:
        """The client's settings; `access_secret.reveal()` returns the secret."""
        return self._exchanger.config

    def _open(self, transport: TransportT | None) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return a text without the secret; also if `__init__` failed."""
        if "_exchanger" not in vars(self):
            return f"{type(self).__name__}(…)"
        return f"{type(self).__name__}({self.config.url!r}, {self.config.access_key!r})"


class Client(_BaseClient[httpx2.BaseTransport]):
    """Send requests to a PNS server; use it in a `with` statement, or close it.

    Threads may share a client.
    """

    __doc__ = f"{__doc__}\n{_BaseClient.__doc__}"

    def _open(self, transport: httpx2.BaseTransport | None) -> None:
        self._http = httpx2.Client(transport=transport, **http_options())
        self.groups = Groups(self)

    def send(self, request: Request[ResultT]) -> ResultT:
        """Send a request, such as a `RawRequest` for an action without a method.

        Raises:
            WireError: The server refused the request.
            TransportError: There was no response, or none that can be read.
        """
        drive = _Drive(self._exchanger.exchange(request), request.action)
        while step := drive.next():
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                continue
            try:
                drive.answered(receive(self._http, self._url, step, self.config))
            except (httpx2.HTTPError, BoundExceededError) as error:
                drive.failed(error)
        return drive.result

    def limits(self) -> Limits:
        """Return every bound that applies to the access key, by name. An extension of openpns.

        Raises:
            ParameterError: The server does not know the action.
        """
        return self.send(get_limits())

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_BaseClient[httpx2.AsyncBaseTransport]):
    """Send requests from async code; use it in an `async with` statement, or close it."""

    __doc__ = f"{__doc__}\n{_BaseClient.__doc__}"

    def _open(self, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._http = httpx2.AsyncClient(transport=transport, **http_options())
        self.groups = AsyncGroups(self)

    async def send(self, request: Request[ResultT]) -> ResultT:
        """Send a request; see `Client.send`."""
        import asyncio  # noqa: PLC0415 - a sync program need not load it

        drive = _Drive(self._exchanger.exchange(request), request.action)
        while step := drive.next():
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                continue
            try:
                drive.answered(await receive_async(self._http, self._url, step, self.config))
            except (httpx2.HTTPError, BoundExceededError) as error:
                drive.failed(error)
        return drive.result

    async def limits(self) -> Limits:
        """Return every bound that applies to the access key, by name; see `Client.limits`."""
        return await self.send(get_limits())

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def http_options() -> dict[str, Any]:
    """Return the options of both kinds of httpx2 clients: no compression and no cookies."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return {"headers": _HEADERS, "cookies": no_cookies}


def _parse_url(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL as error:
        problem = str(error)
    raise ConfigError(f"base_url: {problem}")


class _Drive(Generic[ResultT]):
    """Runs the generator of an exchange: what both clients do between their I/O."""

    result: ResultT

    def __init__(self, steps: Exchange[ResultT], action: str) -> None:
        self._steps = steps
        self._action = action
        self._response: Response | None = None
        self._failure: TransportError | None = None

    def next(self) -> Send | Wait | None:
        """Return what to do next; None at the end, when `result` is set."""
        failure, self._failure = self._failure, None
        response, self._response = self._response, None
        try:
            return self._steps.throw(failure) if failure else self._steps.send(response)
        except StopIteration as stop:
            self.result = stop.value
            return None

    def answered(self, response: Response) -> None:
        self._response = response

    def failed(self, error: httpx2.HTTPError | BoundExceededError) -> None:
        self._failure = _failure(self._action, error)


def _failure(action: str, error: httpx2.HTTPError | BoundExceededError) -> TransportError:
    """Return what an error of httpx2 means.

    That error is not the cause: its frames hold the body.
    """
    if isinstance(error, BoundExceededError):
        return error.kind(action, error.why, http_status=error.http_status)
    why = ": ".join(filter(None, (type(error).__name__, str(error))))
    why = _MANY_DIGITS.sub("…", brief(why, _WHY_CHARS_MAX))
    ours, what = next((ours, what) for theirs, ours, what in _FAILURES if isinstance(error, theirs))
    return ours(action, f"{what} ({why})")
