"""The two shells around the core: `Client` and `AsyncClient`, over httpx2."""

import time
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import httpx2

from openpns import __version__, limits
from openpns.client.answers import Response
from openpns.client.config import ClientConfig, Secret, load_config
from openpns.client.exchange import Core, Exchange, Send, Wait
from openpns.client.extension_calls import Limit, get_limits
from openpns.client.groups import AsyncGroups, Groups
from openpns.client.requests import Call
from openpns.clock import now_ms
from openpns.errors import (
    AnswerTooLate,
    AnswerUnreadable,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    TransportError,
)

ResultT = TypeVar("ResultT")
TransportT = TypeVar("TransportT")

_FAILURES: Final[tuple[tuple[type[httpx2.HTTPError], type[TransportError], str], ...]] = (
    (httpx2.ConnectError, ConnectFailed, "the server cannot be reached"),
    (httpx2.ConnectTimeout, ConnectFailed, "the server cannot be reached"),
    (httpx2.PoolTimeout, ConnectFailed, "no connection was free in time"),
    (httpx2.ProxyError, ConnectFailed, "the proxy does not let us through"),
    (httpx2.UnsupportedProtocol, ConnectFailed, "the URL cannot be called"),
    (httpx2.TimeoutException, AnswerTooLate, "no answer in time"),
    (httpx2.DecodingError, AnswerUnreadable, "the answer's compression is damaged"),
    (httpx2.HTTPError, ConnectionLost, "the connection was lost"),
)
"""What the lower layer's errors mean; the first that fits counts."""

_USER_AGENT: Final = {"User-Agent": f"openpns/{__version__} httpx2/{httpx2.__version__}"}


class _Shell(Generic[TransportT]):
    """What both clients share: how they are made, and what they show of themselves.

    Settings come from the arguments, else from OPENPNS_BASE_URL, OPENPNS_ACCESS_KEY,
    OPENPNS_ACCESS_SECRET and so on, else from a profile of ~/.config/openpns/config.toml.

    Args:
        base_url: The server, e.g. `https://pns.example.com`; with a path, the API's whole URL.
        access_key: The access key.
        access_secret: Its secret.
        algorithm: "md5" (where nothing says otherwise) or "sha256".
        profile: A profile's name; OPENPNS_PROFILE or "default" where None.
        timeout_s: How long connecting, sending or waiting for data may take, in seconds.
        retries: How often a call is sent again where that cannot do it twice.
        retry_creates: Whether createGroup is sent again, under a client token, after its answer was
            lost (where nothing says otherwise). Set it to False for a server that does not know
            `clientToken`: it might create two groups.
        transport: An httpx2 transport, for tests and special networks.

    Raises:
        ConfigError: A setting is missing or not allowed.
    """

    def __init__(
        self,
        base_url: str | None = None,
        access_key: str | None = None,
        access_secret: str | Secret | None = None,
        *,
        algorithm: str | None = None,
        profile: str | None = None,
        timeout_s: float = limits.CLIENT_TIMEOUT_S,
        retries: int = limits.CLIENT_RETRIES,
        retry_creates: bool | None = None,
        transport: TransportT | None = None,
    ) -> None:
        # Wrapped first: from here on no frame of a traceback holds it in clear.
        access_secret = Secret(access_secret) if isinstance(access_secret, str) else access_secret
        config = load_config(
            base_url,
            access_key,
            access_secret,
            algorithm=algorithm,
            profile=profile,
            timeout_s=timeout_s,
            retries=retries,
            retry_creates=retry_creates,
        )
        self._url = _parse_url(config.url)
        self._core = Core(config, now_ms)
        self._open(config.timeout_s, transport)

    @property
    def config(self) -> ClientConfig:
        """The client's settings; the secret in it shows itself only when asked to."""
        return self._core.config

    def _open(self, timeout_s: float, transport: TransportT | None) -> None:
        """Open the lower layer's client; each shell does it in its own way."""

    def _request(self, http: httpx2.Client | httpx2.AsyncClient, step: Send) -> httpx2.Request:
        return http.build_request("POST", self._url, content=step.content, headers=step.headers)

    def __repr__(self) -> str:
        """Return a text without the secret; also of a client that could not be made."""
        core = vars(self).get("_core")
        shown = f"{core.config.url!r}, {core.config.access_key!r}" if core else "…"
        return f"{type(self).__name__}({shown})"


class Client(_Shell[httpx2.BaseTransport]):
    """Call a PNS server; use it in a `with` statement, or close it.

    One client may be used by several threads.
    """

    __doc__ = f"{__doc__}\n{_Shell.__doc__}"

    def _open(self, timeout_s: float, transport: httpx2.BaseTransport | None) -> None:
        self._http = httpx2.Client(timeout=timeout_s, transport=transport, headers=_USER_AGENT)
        self.groups = Groups(self)

    def call(self, call: Call[ResultT]) -> ResultT:
        """Carry out a call of any action.

        Args:
            call: What to call: a `Request`, for an action that has no method.

        Raises:
            WireError: The server refused it.
            TransportError: No answer came, or none that can be read.
        """
        drive = _Drive(self._core.exchange(call), call.action)
        while step := drive.next():
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                continue
            try:
                drive.answered(self._http.send(self._request(self._http, step)))
            except httpx2.HTTPError as error:
                drive.failed(error)
        return drive.result

    def limits(self) -> dict[str, Limit]:
        """Return every bound that applies to the access key, by its name; what is used counts now.

        An extension of openpns.

        Raises:
            ParameterError: The server does not know the action.
        """
        return self.call(get_limits())

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        self.close()


class AsyncClient(_Shell[httpx2.AsyncBaseTransport]):
    """Call a PNS server from async code; use it in an `async with` statement, or close it."""

    __doc__ = f"{__doc__}\n{_Shell.__doc__}"

    def _open(self, timeout_s: float, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._http = httpx2.AsyncClient(timeout=timeout_s, transport=transport, headers=_USER_AGENT)
        self.groups = AsyncGroups(self)

    async def call(self, call: Call[ResultT]) -> ResultT:
        """Carry out a call of any action; see `Client.call`.

        Args:
            call: What to call: a `Request`, for an action that has no method.
        """
        import asyncio  # noqa: PLC0415 - a sync program need not load it

        drive = _Drive(self._core.exchange(call), call.action)
        while step := drive.next():
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                continue
            try:
                drive.answered(await self._http.send(self._request(self._http, step)))
            except httpx2.HTTPError as error:
                drive.failed(error)
        return drive.result

    async def limits(self) -> dict[str, Limit]:
        """Return every bound that applies to the access key, by its name; see `Client.limits`."""
        return await self.call(get_limits())

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self.close()


def _parse_url(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL as error:
        problem = str(error)
    raise ConfigError(f"base_url: {problem}")


class _Drive(Generic[ResultT]):
    """Drives the core's generator: what both shells do between their own I/O."""

    result: ResultT

    def __init__(self, steps: Exchange[ResultT], action: str) -> None:
        self._steps = steps
        self._action = action
        self._response: Response | None = None
        self._failure: TransportError | None = None

    def next(self) -> Send | Wait | None:
        """Return what to do next; None at the end, when `result` is there."""
        failure, self._failure = self._failure, None
        response, self._response = self._response, None
        try:
            return self._steps.throw(failure) if failure else self._steps.send(response)
        except StopIteration as stop:
            self.result = stop.value
            return None

    def answered(self, response: httpx2.Response) -> None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = Response(response.status_code, headers, response.content)

    def failed(self, error: httpx2.HTTPError) -> None:
        self._failure = _failure(self._action, error)


def _failure(action: str, error: httpx2.HTTPError) -> TransportError:
    """Return what an error of the lower layer means; its text quotes neither secret nor body.

    The lower layer's error is not kept as the cause: its frames hold the body.
    """
    why = ": ".join(filter(None, (type(error).__name__, str(error))))
    ours, what = next((ours, what) for theirs, ours, what in _FAILURES if isinstance(error, theirs))
    return ours(action, f"{what} ({why})")
