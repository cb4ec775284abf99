"""`Client` and `AsyncClient`: the I/O around `openpns.client.exchange`, with httpx2."""

import time
import warnings
from typing import Final, Generic, NoReturn, Self, TypeVar

import httpx2

from openpns.client.account_requests import Limits, get_limits
from openpns.client.answers import Response
from openpns.client.bindings import AsyncBindings, AsyncNumbers, Bindings, Numbers
from openpns.client.call_records import AsyncCallRecords, CallRecords
from openpns.client.config import (
    RETRIES,
    ClientConfig,
    PlainHttpWarning,
    Secret,
    load_config,
    wrapped,
)
from openpns.client.connections import AsyncConnections, Connections
from openpns.client.deliveries import AsyncDeliveries, AsyncWebhooks, Deliveries, Webhooks
from openpns.client.exchange import Exchange, Exchanger, Send, Wait
from openpns.client.groups import AsyncGroups, Groups
from openpns.client.receive import AttemptError, describe, receive, receive_async
from openpns.client.requests import Request
from openpns.client.route import parse_url
from openpns.clock import now_ms
from openpns.errors import (
    AnswerTooLate,
    AnswerUnreadable,
    ConnectFailed,
    ConnectionLost,
    OpenPNSError,
    TransportError,
)

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
        access_secret = wrapped(access_secret)
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
        self._url = parse_url(config.url)
        self._exchanger = Exchanger(config, now_ms)
        if config.is_exposed and transport is None:
            warnings.warn(
                f"{config.url} is plain HTTP to another machine: anybody on the way can read phone "
                "numbers and change requests; use https",
                PlainHttpWarning,
                stacklevel=2,
            )
        self._open(transport)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError(
            f"an openpns.{type(self).__name__} cannot be pickled or copied: it holds connections "
            "and a secret. Make one in each process, such as in the initializer of a process pool"
        )

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

    Threads may share a client. A forked child that uses it opens connections of its own.
    """

    __doc__ = f"{__doc__}\n{_BaseClient.__doc__}"

    def _open(self, transport: httpx2.BaseTransport | None) -> None:
        self._connections = Connections(self._url, transport)
        self.groups = Groups(self)
        self.bindings = Bindings(self)
        self.call_records = CallRecords(self)
        self.numbers = Numbers(self)
        self.webhook = Webhooks(self)
        self.deliveries = Deliveries(self)

    def send(self, request: Request[ResultT]) -> ResultT:
        """Send a request, such as a `RawRequest` for an action without a method.

        Raises:
            WireError: The server refused the request.
            TransportError: There was no response, or none that can be read.
            ClientClosed: The client was closed.
        """
        drive = _Drive(self._exchanger.exchange(request), request.action)
        while step := drive.next():
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                continue
            try:
                drive.answered(receive(self._connections, self._url, step, self.config))
            except (httpx2.HTTPError, AttemptError, OpenPNSError) as error:
                drive.failed(error)
        return drive.result

    def limits(self) -> Limits:
        """Return every bound that applies to the access key, by name. An extension of openpns.

        Raises:
            ParameterError: The server does not know the action.
        """
        return self.send(get_limits())

    def close(self) -> None:
        """Close all connections of this process."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_BaseClient[httpx2.AsyncBaseTransport]):
    """Send requests from async code; use it in an `async with` statement, or close it.

    Tasks may share a client, and so may event loops: each opens connections of its own.
    """

    __doc__ = f"{__doc__}\n{_BaseClient.__doc__}"

    def _open(self, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._connections = AsyncConnections(self._url, transport)
        self.groups = AsyncGroups(self)
        self.bindings = AsyncBindings(self)
        self.call_records = AsyncCallRecords(self)
        self.numbers = AsyncNumbers(self)
        self.webhook = AsyncWebhooks(self)
        self.deliveries = AsyncDeliveries(self)

    async def send(self, request: Request[ResultT]) -> ResultT:
        """Send a request; see `Client.send`."""
        import asyncio  # noqa: PLC0415 - a sync program need not load it

        drive = _Drive(self._exchanger.exchange(request), request.action)
        while step := drive.next():
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                continue
            try:
                drive.answered(await receive_async(self._connections, self._url, step, self.config))
            except (httpx2.HTTPError, AttemptError, OpenPNSError) as error:
                drive.failed(error)
        return drive.result

    async def limits(self) -> Limits:
        """Return every bound that applies to the access key, by name; see `Client.limits`."""
        return await self.send(get_limits())

    async def close(self) -> None:
        """Close all connections of this process, of every event loop."""
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Drive(Generic[ResultT]):
    """Runs the generator of an exchange: what both clients do between their I/O."""

    result: ResultT

    def __init__(self, steps: Exchange[ResultT], action: str) -> None:
        self._steps = steps
        self._action = action
        self._response: Response | None = None
        self._failure: OpenPNSError | None = None

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

    def failed(self, error: httpx2.HTTPError | AttemptError | OpenPNSError) -> None:
        self._failure = error if isinstance(error, OpenPNSError) else _failure(self._action, error)


def _failure(action: str, error: httpx2.HTTPError | AttemptError) -> TransportError:
    """Return what a failed attempt means.

    The attempt's own error is not the cause: its frames hold the body.
    """
    if isinstance(error, AttemptError):
        return error.kind(action, error.why, http_status=error.http_status)
    ours, what = next((ours, what) for theirs, ours, what in _FAILURES if isinstance(error, theirs))
    return ours(action, f"{what} ({describe(error)})")
