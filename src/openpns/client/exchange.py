"""The client's logic, without I/O: sign a call, and decide whether to send it again.

`exchange` is a generator: it yields what the shell must do (send these bytes, wait so long) and
gets back what came of it. The same generator is driven by the sync and by the async shell.

No frame of it holds a body in a variable that shows itself: tracebacks are kept with the values
of variables by many tools.
"""

import random
import warnings
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import uuid4

import msgspec

from openpns import limits
from openpns.client.answers import Response, read_result
from openpns.client.config import ClientConfig
from openpns.client.requests import Call, ResultT
from openpns.clock import Clock
from openpns.errors import (
    AnswerUnreadable,
    ConnectFailed,
    OutcomeUnknown,
    RateLimited,
    ServiceUnavailable,
    TimestampExpired,
    TransportError,
    WireError,
)
from openpns.protocol import signing

__all__ = [
    "BIZ_TYPE",
    "ClockSkewWarning",
    "Core",
    "Exchange",
    "Response",
    "Send",
    "Wait",
    "may_retry",
    "read_result",
]

BIZ_TYPE: Final = "5"
"""The value of the header bizType that means privacy number service."""

_GATEWAY_STATUSES: Final = frozenset({429, 502, 503, 504})


class ClockSkewWarning(UserWarning):
    """This machine's clock is far from the server's; the client corrects for it."""


class Send(msgspec.Struct, frozen=True):
    """Tells the shell to send a POST; it answers with a Response or raises TransportError."""

    headers: dict[str, str]
    content: bytes

    def __repr__(self) -> str:
        """Return a text without the body."""
        return f"Send({len(self.content)} bytes)"


class Wait(msgspec.Struct, frozen=True):
    """Tells the shell to wait."""

    seconds: float


Exchange: TypeAlias = Generator[Send | Wait, Response | None, ResultT]


class Core:
    """What a client knows between calls: its configuration and how wrong its clock is.

    Args:
        config: Where to call, as whom, how patiently.
        clock: The wall clock.
        jitter: Returns a number from 0 to 1; spreads retries of many clients.
    """

    def __init__(
        self, config: ClientConfig, clock: Clock, jitter: Callable[[], float] = random.random
    ) -> None:
        self.config = config
        self._clock = clock
        self._jitter = jitter
        self._skew_ms = 0

    def exchange(self, call: Call[ResultT]) -> Exchange[ResultT]:
        """Carry out a call, with as many tries as are safe.

        The body is written once; the same bytes are signed and sent, each try with a new ts.

        Args:
            call: The call.

        Raises:
            WireError: The server refused it.
            TransportError: No answer came, or none that can be read.
        """
        add_token = call.takes_token and self.config.retry_creates
        has_token = call.has_token or add_token
        unsigned = Send({}, _encode(call, with_token=add_token))
        doubts: list[WireError | TransportError] = []
        try:
            return (yield from self._tries(call, unsigned, doubts, is_known_again=has_token))
        except (WireError, TransportError) as error:
            if has_token and doubts and error is not doubts[0]:
                # What the last try met says nothing of what became of the first one.
                raise doubts[0] from error
            raise

    def _tries(
        self,
        call: Call[ResultT],
        unsigned: Send,
        doubts: list[WireError | TransportError],
        *,
        is_known_again: bool,
    ) -> Exchange[ResultT]:
        """Send a call until it is answered or must not be sent again.

        Args:
            call: The call.
            unsigned: Its body.
            doubts: Told the failures after which nobody knows whether it was carried out.
            is_known_again: Whether the server knows it by its token.
        """
        may_repeat = call.is_read or is_known_again
        failures = 0
        is_skew_learnt = False
        while True:
            skew_ms = self._skew_ms
            try:
                response = yield self._signed(call.action, unsigned.content, skew_ms)
                assert response is not None
                return read_result(call, response)
            except TimestampExpired as error:
                if is_skew_learnt or not self._learn_skew(error.server_time, skew_ms):
                    raise
                is_skew_learnt = True
            except (WireError, TransportError) as error:
                failures += 1
                if _leaves_doubt(error):
                    doubts.append(error)
                wait_s = self._wait_s(error.retry_after_s, failures)
                if (
                    failures > self.config.retries
                    or wait_s is None
                    or not may_retry(error, may_repeat=may_repeat)
                ):
                    raise
                yield Wait(wait_s)

    def _signed(self, action: str, content: bytes, skew_ms: int) -> Send:
        config = self.config
        ts = str(self._clock() + skew_ms)
        headers = {
            "accessKey": config.access_key,
            "action": action,
            "bizType": BIZ_TYPE,
            "ts": ts,
            "sign": signing.sign(
                config.access_key,
                action,
                BIZ_TYPE,
                ts,
                content,
                config.access_secret.reveal(),
                config.algorithm,
            ),
            "Content-Type": "application/json",
        }
        if config.algorithm != "md5":
            headers["algorithm"] = config.algorithm
        return Send(headers, content)

    def _learn_skew(self, server_time: datetime | None, used_ms: int) -> bool:
        """Set the clock right by the server's; tell whether a call with that may do better.

        Another thread may have learnt it while this call was under way: then it is not news, but
        it helps this call all the same.

        Args:
            server_time: The server's clock, from the answer.
            used_ms: The skew that the refused call was sent with.
        """
        if server_time is None:
            return False
        skew_ms = int(server_time.timestamp() * 1000) - self._clock()
        if abs(skew_ms - used_ms) < limits.CLIENT_SKEW_MS_MIN:
            return False
        is_news = abs(skew_ms - self._skew_ms) >= limits.CLIENT_SKEW_MS_MIN
        self._skew_ms = skew_ms
        if is_news and abs(skew_ms) >= limits.CLIENT_SKEW_MS_MIN:
            side = "behind" if skew_ms > 0 else "ahead of"
            warnings.warn(
                f"this machine's clock is {abs(skew_ms) / 1000:.0f} s {side} the server's; this "
                "client corrects for it: set the clock by a time server",
                ClockSkewWarning,
                stacklevel=2,
            )
        return True

    def _wait_s(self, asked_s: float | None, failures: int) -> float | None:
        """Return how long to wait before the next try; None where that would be too long.

        Where the server asks for too much, the error is raised at once, and says how much.
        """
        backoff_s = limits.CLIENT_BACKOFF_S * 2.0 ** min(failures - 1, 10)
        backoff_s = min(backoff_s, limits.CLIENT_BACKOFF_S_MAX)
        wait_s = backoff_s * (0.5 + self._jitter() / 2)
        if asked_s is None:
            return wait_s
        return asked_s + wait_s if asked_s <= limits.CLIENT_RETRY_AFTER_S_MAX else None


def may_retry(error: WireError | TransportError, *, may_repeat: bool) -> bool:
    """Tell whether a call may be sent again: never where a write could be done twice.

    Args:
        error: How the last try failed.
        may_repeat: Whether carrying the call out twice is as good as once: it changes nothing, or
            the server knows it again.
    """
    if isinstance(error, ConnectFailed | RateLimited | ServiceUnavailable):
        return True  # it never left, or the server says that it did nothing
    if isinstance(error, AnswerUnreadable):
        return may_repeat and error.http_status in _GATEWAY_STATUSES
    return may_repeat and _leaves_doubt(error)


def _leaves_doubt(error: WireError | TransportError) -> bool:
    """Tell whether a call that failed so may have been carried out all the same."""
    if isinstance(error, TransportError):
        return not isinstance(error, ConnectFailed)
    return isinstance(error, OutcomeUnknown)


def _encode(call: Call[Any], *, with_token: bool) -> bytes:
    """Return a call's body, which no variable holds."""
    if with_token:
        return msgspec.json.encode(call.body | {"clientToken": uuid4().hex})
    return msgspec.json.encode(call.body)
