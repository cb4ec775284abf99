"""The emulator: the server's own core on a database in memory, behind a real socket."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

from openpns import limits
from openpns.api.pipeline import ReadBody, Reply
from openpns.client.requests import Group
from openpns.errors import ParameterError
from openpns.ids import IdSource, Snowflake
from openpns.protocol.headers import PATHS
from openpns.testing.clock import MovableClock
from openpns.testing.faults import NOTHING, Faults, Met
from openpns.testing.http import HttpServer, Request
from openpns.testing.requests import ReceivedCall, body_as_dict
from openpns.testing.service import Bounds, Core, Key
from openpns.testing.state_file import SOURCE, GroupState, parse, read_file

ACCESS_KEY: Final = "emulator-key"
ACCESS_SECRET: Final = "emulator-secret"  # noqa: S105 - nobody's
CUSTOMER_ID: Final = "emulator-customer"

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to call instead

ResultT = TypeVar("ResultT")


class _Code(msgspec.Struct):
    code: int


class Emulator:
    """An openpns server inside this process, for tests: no account, no set-up, no disk.

    It is a context manager; `start` and `stop` do the same. It runs in a thread of its own, and
    every method may be called from any thread. Source: docs/testing.md.

    Args:
        host: The address to listen on.
        port: The port; 0 picks a free one.
        access_key: The access key that is there from the beginning.
        access_secret: Its secret.
        customer_id: Its customer.
        state: What else is there from the beginning and after each reset: a state file, or
            what one holds.
        body_bytes_max: The largest request body, in bytes.
        phones_in_group_max: How many numbers a group may hold.
        phones_in_request_max: How many numbers one request may carry.
        rate_per_s: How many calls a second each access key may make, by real time and not by
            `clock`; 0 for any number.
        rate_burst: How many of them may come at once; 0 for those of a second.
        ids: Where request ids and group ids come from; None makes them as the server does.

    Raises:
        ConfigError: The state cannot be read; the text names the place.

    Attributes:
        base_url: Where it is, as `openpns.Client` takes it; known once it is started.
        access_key: The access key that is there from the beginning.
        access_secret: Its secret; the state's, where the state has this key.
        customer_id: Its customer; the state's, where the state has this key.
        clock: The clock that calls are checked by, and that the header Date tells.
        faults: Switches for what goes wrong.
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
        rate_per_s: int = 0,
        rate_burst: int = 0,
        ids: IdSource | None = None,
    ) -> None:
        self.base_url = ""
        self.access_key = access_key
        self.access_secret = access_secret
        self.customer_id = customer_id
        self.clock = MovableClock()
        self.faults = Faults()
        self._address = (host, port)
        self._own = Key(access_key, access_secret, customer_id)
        if isinstance(state, Path):
            self._state = read_file(state)
        else:
            self._state = parse(state or {})
        self._source = str(state) if isinstance(state, Path) else SOURCE
        self._bounds = Bounds(
            body_bytes_max, phones_in_group_max, phones_in_request_max, rate_per_s, rate_burst
        )
        self._ids = ids
        self._calls: list[ReceivedCall] = []
        self._resets = 0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def __repr__(self) -> str:
        return f"Emulator(base_url={self.base_url!r}, customer_id={self.customer_id!r})"

    @property
    def calls(self) -> list[ReceivedCall]:
        """What arrived since the last reset, in the order in which it arrived."""
        return self._calls.copy()

    def start(self) -> None:
        """Listen, and answer calls from now on.

        Raises:
            ConfigError: It cannot listen there, or an argument is not allowed.
            RuntimeError: It is running already.
        """
        if self._thread is not None:
            raise RuntimeError("the emulator is running already")
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
        """Stop listening, drop every connection and forget everything. Nothing where stopped."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    def reset(self) -> None:
        """Go back to the state of the beginning, with no fault set and the clock at real time.

        Calls in hand are dropped, so that nothing reaches from one test into the next; other
        connections stay open. The port stays.
        """
        self._run(self._reset())

    def add_customer(
        self,
        customer_id: str,
        access_key: str | None = None,
        access_secret: str | None = None,
        *,
        read_only: bool = False,
    ) -> Key:
        """Add a customer with an access key of its own; return the key.

        Args:
            customer_id: Its id: 1 to 64 letters, digits, `_`, `.` and `-`.
            access_key: 4 to 64 letters, digits, `_` and `-`; made up where None.
            access_secret: 8 to 128 printable ASCII characters without spaces; made up where
                None.
            read_only: Whether the key may only read.

        Raises:
            ConfigError: A value is not allowed, or is taken.
        """
        added = self._core.add_customer(customer_id, access_key, access_secret, read_only=read_only)
        return self._run(added)

    def add_group(
        self,
        phones: Sequence[str] = (),
        *,
        name: str = "",
        remark: str = "",
        customer_id: str | None = None,
        group_id: str = "",
    ) -> str:
        """Add a number group past the API; return its id.

        Args:
            phones: Its numbers, each with its country code.
            name: Its name; the id where empty.
            remark: Its remark.
            customer_id: Whose group it is; the emulator's own customer where None.
            group_id: 32 lower-case hex characters; made up where empty.

        Raises:
            ConfigError: A value is not allowed, the customer is unknown, or the id is taken.
        """
        group = GroupState(
            groupId=group_id,
            groupName=name,
            phones=phones if isinstance(phones, str) else ",".join(phones),
            remark=remark,
        )
        return self._run(self._core.add_group(customer_id or self.customer_id, group))

    def groups(self, customer_id: str | None = None) -> list[Group]:
        """Return a customer's groups as they are stored, oldest first.

        Args:
            customer_id: The customer; the emulator's own where None.

        Raises:
            ConfigError: The customer is unknown.
        """
        return self._run(self._core.groups(customer_id or self.customer_id))

    def dump(self) -> dict[str, Any]:
        """Return all that is stored, in the form of a state file; it holds the secrets."""
        values: dict[str, Any] = msgspec.to_builtins(self._run(self._core.dump()))
        return values

    def _run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Do something on the event loop, and wait for it."""
        if self._thread is None:
            work.close()
            raise RuntimeError("the emulator is not running; use it in a with block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run_thread(self, started: "Future[None]") -> None:
        # Not whatever event loop the program under test has chosen for itself.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._live(started))

    async def _live(self, started: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        http = self._http = HttpServer(self._answer, self.clock)
        try:
            self._core = await self._new_core()
            host, port = await http.start(*self._address)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            started.set_exception(error)
            return
        host = _WILDCARDS.get(host, host)
        self.base_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        started.set_result(None)
        await self._stopping.wait()
        await http.stop()
        await self._core.close()

    async def _reset(self) -> None:
        old, self._core = self._core, await self._new_core()
        self.clock.reset()
        self.faults.clear()
        self._calls.clear()
        await self._http.drop_calls()
        await old.close()

    async def _new_core(self) -> Core:
        # Another worker number for each life, so that no request id can come twice.
        self._resets += 1
        ids = self._ids or Snowflake(self.clock, self._resets % (limits.WORKER_ID_MAX + 1))
        core = await Core.open(self.clock, ids, self._bounds)
        try:
            own = await core.fill(self._state, self._own, self._source)
        except BaseException:
            await core.close()
            raise
        self.access_secret, self.customer_id = own.access_secret, own.customer_id
        return core

    async def _answer(self, request: Request, read_body: ReadBody) -> Reply | None:
        """Answer one request, with what goes wrong; None drops its connection."""
        headers = dict(reversed(request.headers))  # of one that was sent twice the first
        call = ReceivedCall(headers.get("action"), headers.get("accesskey"))
        self._calls.append(call)
        is_call = request.method == "POST" and request.path in PATHS
        met = self.faults.take(call.action) if is_call else NOTHING
        call.faults = met.names
        core = self._core

        async def read(bytes_max: int) -> bytes | None:
            return await _read_and_fail(call, met, await read_body(bytes_max))

        if met.drop == "before_commit":
            with suppress(ParameterError):  # the caller went away
                await read(self._bounds.body_bytes_max)
            return None
        reply = await core.api.handle(request.method, request.path, request.headers, read)
        call.http_status = reply.status
        if isinstance(reply.body, bytes):
            call.code = msgspec.json.decode(reply.body, type=_Code).code
        else:
            call.code = 0
            if met.drop == "after_commit":
                await reply.body.aclose()
                reply.close()
        return None if met.drop == "after_commit" else reply


async def _read_and_fail(call: ReceivedCall, met: Met, body: bytes | None) -> bytes | None:
    """Note a call's body; then let it meet its delay and its error, before anything is checked."""
    call.body = body_as_dict(body)
    if met.delay_s:
        await asyncio.sleep(met.delay_s)
    if met.make_error is not None:
        raise met.make_error()
    return body
