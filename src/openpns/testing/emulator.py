"""The emulator: the server's own code on a database in memory, behind a real socket."""

import asyncio
import os
import selectors
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

from openpns import limits
from openpns.core import logs, worker_ids
from openpns.core.rate_limits import RateLimits
from openpns.deliveries.settings import DeliverySettings
from openpns.errors import ConfigError, OpenPNSError, WireError
from openpns.ids import IdSource, Snowflake
from openpns.kit.forks import Descriptor, renew_after_fork, renew_if_forked
from openpns.kit.plain_text import brief
from openpns.protocol.fields import describe
from openpns.protocol.headers import PATHS, host_in_url
from openpns.testing.clock import MovableClock
from openpns.testing.data import EmulatedData
from openpns.testing.faults import NOTHING, Faults
from openpns.testing.requests import ReceivedRequest, body_as_dict
from openpns.testing.service import LOG, EmulatedService, Key
from openpns.testing.state_file import SOURCE, parse, read_file
from openpns.transport.listener import Bounds, Listener
from openpns.transport.messages import Reply, Request
from openpns.transport.sockets import listen

ACCESS_KEY: Final = "emulator-key"
ACCESS_SECRET: Final = "emulator-secret"  # noqa: S105 - public
CUSTOMER_ID: Final = "emulator-customer"

_RECEIVERS: Final = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
"""Loopback, and the private networks in which containers are."""
_WHY_CHARS_MAX: Final = 300
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address for clients

ResultT = TypeVar("ResultT")


class _Code(msgspec.Struct):
    code: int


class _Selector(selectors.DefaultSelector):
    """What an event loop waits with; it knows of which files its descriptors are."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptors: dict[int, Descriptor] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        self.descriptors[key.fd] = Descriptor(key.fd)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        self.descriptors.pop(key.fd, None)
        return key


class Emulator(EmulatedData):
    """An openpns server inside this process, for tests: no account, no set-up, no disk.

    A context manager; `start` and `stop` do the same. It runs in its own thread and is
    thread-safe. Forked children can send requests to it, but not use it otherwise.
    Source: docs/testing.md.

    Args:
        port: 0 for a free one.
        access_key: The access key that always exists, with its secret and its customer.
        state: What also exists at the start and after each reset: a state file or its content.
        rate_per_s: Requests per second of each access key, in real time; 0 for no limit.
        rate_burst: How many of them may come at once; 0 for those of one second.
        ids: The source of request ids and group ids; None for the server's own.
        webhook_schedule: When a failed delivery is tried again: "vendor", "vendor-2024" or
            "exponential".
        webhook_timeout_ms: How long an attempt to deliver waits for a receiver, in real time.
        delivers_by_itself: Whether events are delivered in the background, as a server does; else
            `deliver` does it.

    Raises:
        ConfigError: The state cannot be read, and the text names the place; or an argument for
            webhooks is not allowed.

    Attributes:
        base_url: The server, as in `openpns.Client`; empty before the start.
        access_secret: The secret of `access_key`; that of the state, if the state has this key.
        customer_id: The customer of `access_key`; that of the state, if the state has this key.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        access_key: str = ACCESS_KEY,
        access_secret: str = ACCESS_SECRET,
        customer_id: str = CUSTOMER_ID,
        state: Mapping[str, Any] | Path | None = None,
        body_bytes_max: int = limits.BODY_BYTES_MAX,
        phones_in_group_max: int = limits.PHONES_IN_GROUP_MAX,
        phones_in_request_max: int = limits.PHONES_IN_REQUEST_MAX,
        groups_per_customer_max: int = limits.GROUPS_PER_CUSTOMER_MAX,
        phones_per_customer_max: int = limits.PHONES_PER_CUSTOMER_MAX,
        bytes_per_customer_max: int = limits.BYTES_PER_CUSTOMER_MAX,
        bindings_per_customer_max: int = limits.BINDINGS_PER_CUSTOMER_MAX,
        call_records_per_customer_max: int = limits.CALL_RECORDS_PER_CUSTOMER_MAX,
        deliveries_per_customer_max: int = limits.DELIVERIES_PER_CUSTOMER_MAX,
        bindings_per_number_max: int = limits.BINDINGS_PER_NUMBER_MAX,
        seat_rest_s: int = limits.SEAT_REST_S,
        wrong_digits_max: int = limits.WRONG_DIGITS_MAX,
        wrong_digits_per_customer_max: int = limits.WRONG_DIGITS_PER_CUSTOMER_MAX,
        rate_per_s: int = 0,
        rate_burst: int = 0,
        ids: IdSource | None = None,
        webhook_schedule: str = "vendor",
        webhook_timeout_ms: int = limits.WEBHOOK_TIMEOUT_MS,
        delivers_by_itself: bool = False,
    ) -> None:
        self.base_url = ""
        self.access_key = access_key
        self.access_secret = access_secret
        self.customer_id = customer_id
        self.clock = MovableClock()
        self.faults = Faults()
        self._address = (host, port)
        self._own = Key(access_key, access_secret, customer_id)
        self._state = read_file(state) if isinstance(state, Path) else parse(state or {})
        self._source = str(state) if isinstance(state, Path) else SOURCE
        self._rate = (rate_per_s, rate_burst)
        self._bounds = {
            "body_bytes_max": body_bytes_max,
            "phones_in_group_max": phones_in_group_max,
            "phones_in_request_max": phones_in_request_max,
            "groups_per_customer_max": groups_per_customer_max,
            "phones_per_customer_max": phones_per_customer_max,
            "bytes_per_customer_max": bytes_per_customer_max,
            "bindings_per_customer_max": bindings_per_customer_max,
            "call_records_per_customer_max": call_records_per_customer_max,
            "deliveries_per_customer_max": deliveries_per_customer_max,
            "bindings_per_number_max": bindings_per_number_max,
            "seat_rest_s": seat_rest_s,
            "wrong_digits_max": wrong_digits_max,
            "wrong_digits_per_customer_max": wrong_digits_per_customer_max,
        }
        self._ids = ids
        self._deliveries = _delivery_settings(webhook_schedule, webhook_timeout_ms)
        self._delivers_by_itself = delivers_by_itself
        self._requests: list[ReceivedRequest] = []
        self._resets = 0
        self._thread: threading.Thread | None = None
        self._selector: _Selector | None = None
        self._process = os.getpid()
        renew_after_fork(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Emulator(base_url={self.base_url!r}, customer_id={self.customer_id!r})"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests received since the last reset, in order."""
        return self._requests.copy()

    def start(self) -> None:
        """Listen and answer requests.

        Raises:
            ConfigError: It cannot listen there, or an argument is not allowed.
            RuntimeError: It is already running.
        """
        renew_if_forked()
        if self._thread is not None:
            raise RuntimeError("the emulator is already running")
        self._process = os.getpid()
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run_thread, args=(started,), name="openpns-emulator", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._thread.join()
            self._thread = None
            raise

    def stop(self) -> None:
        """Stop listening, drop every connection and all data; do nothing if it is not running."""
        renew_if_forked()
        if self._thread is None or self._process != os.getpid():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    def reset(self) -> None:
        """Return to the initial state: its data, no faults, real time, the same port.

        Requests in flight are dropped, so that no test affects the next one; other connections
        stay open.
        """
        self._run(self._reset())

    def _run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine on the emulator's event loop, and wait for it."""
        renew_if_forked()
        if self._thread is None:
            work.close()
            raise RuntimeError("the emulator is not running; use it in a with block")
        if self._process != os.getpid():
            work.close()
            raise RuntimeError(
                "the emulator runs in the process that started it; send requests to its base_url"
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run_thread(self, started: "Future[None]") -> None:
        try:
            # Not the kind of event loop that the program under test has chosen.
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(self._live(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(_why_not_started(error))

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        self._selector = _Selector()
        return asyncio.SelectorEventLoop(self._selector)

    def after_fork(self) -> None:
        """Let a child give up the sockets; not for tests. See `kit.forks`.

        Otherwise no connection that the emulator drops would end while the child lives.
        """
        if self._selector is not None:
            for descriptor in list(self._selector.descriptors.values()):
                descriptor.give_up()

    async def _live(self, started: "Future[None]") -> None:
        logs.use(LOG)
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._service = await self._new_service()
        try:
            listening = listen("port", *self._address)
        except BaseException:
            await self._service.close()
            raise
        with listening:
            bounds = Bounds(body_bytes_max=self._bounds["body_bytes_max"])
            self._listener = Listener(self, bounds, self.clock)
            self._listener.start(listening)
            host, port = listening.getsockname()[:2]
            self.base_url = f"http://{host_in_url(_WILDCARDS.get(host, host))}:{port}"
            started.set_result(None)
            await self._stopping.wait()
            await self._listener.stop(0)
        await self._service.close()

    async def _reset(self) -> None:
        old, self._service = self._service, await self._new_service()
        self.clock.reset()
        self.faults.clear()
        self._requests.clear()
        self._listener.drop_requests()
        await old.close()

    async def _new_service(self) -> EmulatedService:
        # Another worker id after each reset, so that no request id comes twice.
        self._resets += 1
        ids = self._ids or Snowflake(self.clock, self._resets % (worker_ids.WORKER_ID_MAX + 1))
        rates = RateLimits(*self._rate)
        service = await EmulatedService.open(self.clock, ids, rates, self._bounds, self._deliveries)
        try:
            own = await service.fill(self._state, self._own, self._source)
        except BaseException:
            await service.close()
            raise
        self.access_secret, self.customer_id = own.access_secret, own.customer_id
        if self._delivers_by_itself:
            service.webhooks.run()
        return service

    async def respond(self, request: Request) -> Reply | None:
        """Answer a request of a connection with its faults; not for tests."""
        received = ReceivedRequest(_text(request, b"action"), _text(request, b"accesskey"))
        received.body = None if request.fault else body_as_dict(request.body)
        self._requests.append(received)
        is_api = request.method == b"POST" and request.path in PATHS
        met = self.faults.take(received.action) if is_api else NOTHING
        received.faults = met.names
        service = self._service
        if met.delay_s:
            await asyncio.sleep(met.delay_s)
        if met.drop == "before_commit":
            return None
        if met.make_error is not None:  # before anything is checked
            request.fault = met.make_error()
        self._listener.set_date()  # the clock may have been moved
        reply = await service.api.respond(request)
        received.http_status = reply.status
        if isinstance(reply.body, tuple):
            received.code = msgspec.json.decode(b"".join(reply.body), type=_Code).code
        else:
            received.code = 0
            if met.drop == "after_commit":
                await reply.body.aclose()
                if reply.close is not None:
                    reply.close()
        return None if met.drop == "after_commit" else reply

    async def admit(self, request: Request) -> WireError | None:
        """Return why the body of a request must not be sent; not for tests."""
        return await self._service.api.admit(request)


def _delivery_settings(schedule: str, timeout_ms: int) -> DeliverySettings:
    """Return the settings of deliveries: also over http, and to receivers on this machine."""
    given: dict[str, Any] = {"webhook_schedule": schedule, "webhook_timeout_ms": timeout_ms}
    for field in msgspec.structs.fields(DeliverySettings):
        try:
            if field.name in given:
                msgspec.convert(given[field.name], field.type)
        except msgspec.ValidationError:
            allowed, _ = describe(field)
            raise ConfigError(f"{field.name}: allowed is {allowed}") from None
    return DeliverySettings(
        database="sqlite:///memory",
        webhook_http_allowed="on",
        webhook_networks_allowed=_RECEIVERS,
        **given,
    )


def _why_not_started(error: BaseException) -> BaseException:
    """Return what `start` raises for an error of the emulator's thread."""
    if isinstance(error, OpenPNSError) or not isinstance(error, Exception):
        return error
    why = brief(f"{type(error).__name__}: {error}", _WHY_CHARS_MAX)
    return ConfigError(
        f"the emulator cannot start ({why}). If the tests forbid sockets, allow those to "
        "127.0.0.1 and inside of the process; pytest-socket: --allow-hosts=127.0.0.1"
    )


def _text(request: Request, name: bytes) -> str | None:
    value = request.headers.get(name)
    return None if value is None else value.decode("ascii", "replace")
