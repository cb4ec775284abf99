"""How a connection ends: in time, to give way to others, at the stop."""

import asyncio
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from openpns.errors import ParameterError, WireError
from openpns.transport.arrival import Arrival
from openpns.transport.sender import Sender

if TYPE_CHECKING:
    from openpns.transport.listener import Listener
    from openpns.transport.messages import Request

_DISCARD_BYTES_MAX: Final = 4 * 1024 * 1024
_DISCARD_S: Final = 2.0
"""What is read of a request that was refused: a client that is still sending when the connection
closes would not see the response. No connection takes longer to close."""


class Closing(asyncio.Protocol):
    """The state of a connection, and its end.

    Attributes:
        deadline_s: When the listener closes it if it is still idle.
        place: Whose connections are counted together: the address, of IPv6 its network of 64 bits.
        is_silent: Whether no complete request has arrived yet.
        is_known: Whether a request had a correct signature.
        connecting: The task that makes it a connection.
        undecrypted_bytes: What is counted of TLS: bytes that wait to be decrypted, and a handshake.
        is_decrypting: Whether TLS has whole records that wait for their turn.
    """

    sender: Sender

    def __init__(self, listener: "Listener", place: str, arrival: Arrival) -> None:
        self.place = place
        self.deadline_s = 0.0
        self.is_silent = True
        self.is_known = False
        self.connecting: asyncio.Task[Any] | None = None
        self.transport: Any = None
        self.undecrypted_bytes = 0
        self.is_decrypting = False
        self._listener = listener
        self._arrival = arrival
        # What waits for its turn.
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[Request] = deque()
        self._rest = b""
        self._waiting_bytes = 0
        # The end.
        self._is_closing = False
        self._is_discarding = False
        self._has_ended = False
        self._discarded = 0

    @abstractmethod
    def _keep(self, rest: bytes) -> None: ...

    @abstractmethod
    def _cut(self, fault: WireError) -> None: ...

    @abstractmethod
    def _read_on(self) -> None: ...

    @property
    def is_in_hand(self) -> bool:
        """Whether a request is carried out."""
        return self._task is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked of it: no request, not even a part of one."""
        return (
            self._task is None
            and not self._is_closing
            and not self.sender.is_waiting
            and not (self._queue or self._rest or self.is_decrypting or self._arrival.is_partial)
        )

    @property
    def partial_since_s(self) -> float | None:
        """When the request began that arrives in parts; None if none does, or a known client's."""
        is_stranger = not (self.is_known or self._is_closing or self._task or self._queue)
        return self._arrival.began_s if is_stranger and self._arrival.is_partial else None

    @property
    def held_bytes(self) -> int:
        """What is counted of the requests that arrive or wait."""
        return self._waiting_bytes + self._arrival.held_bytes + self.undecrypted_bytes

    def check(self, now_s: float) -> None:
        """Close the connection if its time is over; the listener calls this."""
        if self.sender.is_too_slow(now_s):
            self.abort()
        elif self._task is not None or self.sender.is_waiting:
            return
        elif self._is_closing:
            if now_s > self.deadline_s:
                self.abort()
        elif fault := self._arrival.fault_of_time(now_s):
            if isinstance(fault, WireError):
                self._cut(fault)
            else:
                self.abort()
        elif now_s > self.deadline_s and not self._arrival.is_partial:
            self._end()

    def shut_down(self) -> None:
        """Close it now if it is idle, else after the requests that have arrived."""
        self._arrival.is_stopping = True
        if self._is_closing:
            return
        is_waiting = self._task is not None or self.sender.is_waiting
        if self.is_idle:
            self._end()
        elif (self._rest or self.is_decrypting) and not is_waiting:
            return  # of what is parsed in the next turn, the first request is the last one
        elif not self._arrival.is_partial:
            self._arrival.is_last = True
            self._keep(b"")

    def drop(self) -> None:
        """Cancel the request in hand and close without a response."""
        if self._task is not None:
            self._task.cancel()
        self.abort()

    def abort(self) -> None:
        """Close without sending the rest."""
        self._is_closing = True
        if self.transport is not None:
            self.transport.abort()
        elif self.connecting is not None:
            self.connecting.cancel()

    def give_way(self) -> None:
        """Close at once, and free what the requests that arrive have taken."""
        self._arrival.close()
        self._queue.clear()
        self._keep(b"")
        self.abort()

    def _end_of_input(self) -> None:
        if self._is_closing:
            return
        if self._arrival.has_head:
            self._cut(ParameterError("the client went away before the body was sent"))
        else:
            self._end()

    def _end(self) -> None:
        """Close after what is written; a client that still sends gets the time to read it."""
        if self.transport is None:
            self.abort()
            return
        self._is_closing = True
        self._keep(b"")
        self.deadline_s = self._listener.loop.time() + _DISCARD_S
        if not self._is_discarding:
            self.transport.close()
            return
        try:
            if self.transport.can_write_eof():
                self.transport.write_eof()
        except OSError:  # the client has gone, and nothing of it remains to be read
            self.abort()
            return
        self._read_on()

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > _DISCARD_BYTES_MAX:
            self.abort()
