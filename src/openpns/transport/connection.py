"""One HTTP/1.1 connection: bytes in, replies out, one request after another.

`data_received` parses; the listener then calls `answer` of all connections that have received
something, so that they can share what a turn of the event loop needs once. A response that waits
for nothing takes no task. One that waits gets a task (`_finish`); what arrives meanwhile stays in
`_queue` and `_rest`, and no more is read. Those that end in the same turn are written together,
too: each send wakes a client. A request that arrives in parts is watched (`_watch_arrival`).

Source: docs/operating/serving.md, "Connections"; docs/decisions/0026-one-transport.md.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from openpns.errors import InternalError, ParameterError, WireError
from openpns.transport.arrival import Arrival
from openpns.transport.first_step import resumed, returned
from openpns.transport.messages import Reply, Request
from openpns.transport.sender import Sender

if TYPE_CHECKING:
    from openpns.transport.listener import Listener

_SLICE_BYTES: Final = 16 * 1024
"""Bytes parsed at once: no more requests than fit in them wait for a response."""
_DISCARD_BYTES_MAX: Final = 4 * 1024 * 1024
_DISCARD_S: Final = 2.0
"""What is read of a request that was refused: a client that is still sending when the connection
closes would not see the response. No connection takes longer to close."""

_QUEUED_BYTES: Final = 1024
"""About what a parsed request takes: many times the bytes of the smallest one."""


class Connection(asyncio.Protocol):
    """A connection that a listener has accepted.

    Attributes:
        deadline_s: When the listener closes it if it is still idle.
        is_silent: Whether no complete request has arrived yet.
        connecting: The task that makes it a connection; with TLS, the handshake.
    """

    def __init__(self, listener: "Listener", address: str) -> None:
        self.address = address
        self.deadline_s = 0.0
        self.is_silent = True
        self.connecting: asyncio.Task[Any] | None = None
        self.transport: Any = None
        self._listener = listener
        self._respond = listener.responder.respond
        self._arrival = Arrival(listener, self._take)
        self.sender = Sender(listener, self)
        # What waits for its turn.
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[Request] = deque()
        self._rest = b""
        self._waiting_bytes = 0
        self._is_reading = True
        # The end.
        self._is_closing = False
        self._is_discarding = False
        self._discarded = 0

    # -- what asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Begin, unless the connection was closed meanwhile."""
        self.transport = transport
        self.sender.begin(transport)
        if self._is_closing:
            transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the connection. A request in hand is carried out to its end."""
        self._is_closing = True
        self._arrival.close()
        self._queue.clear()
        self._keep(b"")
        self.sender.resume()
        self._listener.remove(self)

    def data_received(self, data: bytes) -> None:
        """Parse bytes; the requests that they complete are answered in `answer`."""
        if self._is_closing:
            self._discard(len(data))
        elif self._arrival.is_last:  # nothing after the last request counts
            self._read_no_more()
        elif self._task is not None or self.sender.is_waiting or self._rest:
            self._keep(self._rest + data)
            self._read_no_more()
        elif len(data) > _SLICE_BYTES:
            self._rest = data
            self._parse_rest()
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        """End: the client sends no more. What it has asked for is still answered."""
        if self._is_discarding or self.sender.is_tls:
            return False
        self._listener.loop.call_soon(self._end_of_input)
        return True

    def pause_writing(self) -> None:
        """Send no more, and read no more, until the client has taken what was sent."""
        self.sender.pause()
        if not self.sender.is_tls:  # which may have to read in order to write
            self._read_no_more()

    def resume_writing(self) -> None:
        """Go on: everything was sent."""
        self.sender.resume()
        self._listener.answer_soon(self)

    # -- requests -------------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer the requests that have arrived, until one has to wait; then read on.

        The listener calls this for all connections that have received something, and then `flush`.
        """
        while self._task is None and not self.sender.is_waiting and not self._is_closing:
            if self._queue:
                self._start(self._queue.popleft())
            elif self._rest:
                self._parse_rest()
            else:
                self.deadline_s = self._listener.idle_deadline_s
                self._read_on()
                if self._arrival.is_partial or self._arrival.bad_status:
                    self._watch_arrival(0)
                else:
                    self._arrival.release()
                break
        if self._queue or self._waiting_bytes:
            self._keep(self._rest)

    def _keep(self, rest: bytes) -> None:
        """Let bytes wait to be parsed; count what waits, and close if there is no memory for it.

        The rest of a body is bounded where it is parsed: its request gets a response.
        """
        self._rest = rest
        held = len(rest) + len(self._queue) * _QUEUED_BYTES
        if held != self._waiting_bytes:
            self._listener.received_bytes += held - self._waiting_bytes
            self._waiting_bytes = held
            is_over = self._listener.received_bytes > self._listener.bounds.received_bytes_max
            if held and is_over and not self._arrival.has_head:
                self.abort()

    def _feed(self, data: bytes) -> None:
        """Parse at most a slice."""
        if not self._arrival.feed(data):
            self._watch_arrival(len(data))

    def _parse_rest(self) -> None:
        """Parse what has arrived, up to the slice that completes a request."""
        rest = b"" if self._arrival.is_last else self._rest
        self._keep(b"")
        self._rest = rest
        while self._rest and not self._queue and self._task is None and not self._is_closing:
            data, self._rest = self._rest[:_SLICE_BYTES], self._rest[_SLICE_BYTES:]
            self._feed(data)
        self._keep(self._rest)
        if self._rest:
            self._read_no_more()

    def _take(self, request: Request) -> None:
        """Let a request wait until those of other connections have arrived, too."""
        request.address = self.address
        if not self._queue:
            self._listener.answer_soon(self)
        self._queue.append(request)

    def _start(self, request: Request) -> None:
        """Take the first step of a response; most need no other."""
        self.is_silent = False
        coroutine = self._respond(request)
        try:
            waits_for = coroutine.send(None)
        except StopIteration as stop:
            reply = stop.value
            if reply is not None and self.sender.sends_at_once(reply):
                self.sender.add(request, reply, is_last=self._is_last)
                return
            response: Coroutine[Any, Any, Reply | None] = returned(reply)
        else:
            response = resumed(coroutine, waits_for)
        self.sender.flush()
        self._task = self._listener.loop.create_task(self._finish(request, response))

    async def _finish(self, request: Request, response: Coroutine[Any, Any, Reply | None]) -> None:
        """Answer a request whose response waits for something."""
        try:
            reply = await response
            if reply is None:
                self.abort()
            elif self.sender.sends_at_once(reply):
                self.sender.add(request, reply, is_last=self._is_last)
            else:
                if request.is_old and not isinstance(reply.body, tuple):
                    self._arrival.close()  # the end of the connection ends the response
                    self._queue.clear()
                await self.sender.stream(request, reply, is_last=self._is_last)
        except InternalError:
            self.abort()
        except BaseException:
            self.abort()
            raise
        finally:
            self._task = None
        # Those behind it may have been sent to see what it has done: what was checked for them when
        # they arrived, such as whether a key is current, does not count any more.
        for waiting in self._queue:
            waiting.arrived_s = perf_counter()
        self._listener.answer_soon(self)

    def _watch_arrival(self, arrived: int) -> None:
        """Bound a request that has arrived in part, if it is its turn."""
        if self._task is not None or self.sender.is_waiting or self._queue or self._is_closing:
            return
        step = self._arrival.next_step(arrived)
        if isinstance(step, Request):
            self._task = self._listener.loop.create_task(self._admit(step))
        elif isinstance(step, WireError):
            self._cut(step)
        elif step is not None:
            self._refuse(step)

    async def _admit(self, request: Request) -> None:
        """Ask whether a body may be sent; read on if it may."""
        try:
            fault = await self._listener.responder.admit(request)
        except BaseException:
            self.abort()
            raise
        finally:
            self._task = None
        if self._is_closing:
            return
        if fault is not None:
            self._cut(fault)
        else:
            if self._arrival.expects_100:
                self.sender.add_continue()
                self.flush()
            self._listener.answer_soon(self)

    def _cut(self, fault: WireError) -> None:
        """Answer a request whose body is not read to its end; it is the last one."""
        request = self._arrival.partial_request(fault)
        self._arrival.close()
        self._keep(b"")
        self._is_discarding = True
        self._start(request)
        self.flush()

    def _refuse(self, status: int) -> None:
        """Answer what is not HTTP, without a body; close."""
        self._arrival.close()
        self._is_discarding = True
        self.sender.add_status(status)
        self.flush()

    def _read_on(self) -> None:
        if not self._is_reading and not self.transport.is_closing():
            self._is_reading = True
            self.transport.resume_reading()

    def _read_no_more(self) -> None:
        if self._is_reading and not self.transport.is_closing():
            self._is_reading = False
            self.transport.pause_reading()

    def flush(self) -> None:
        """Write the responses; close after the last one."""
        if self._is_closing:
            return
        self.sender.flush()
        if self._arrival.is_last and self._task is None and not self._queue:
            self._end()

    @property
    def _is_last(self) -> bool:
        return self._arrival.is_last and not self._queue

    # -- the end ----------------------------------------------------------------------------------

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
            and not (self._queue or self._rest or self._arrival.is_partial)
        )

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
        if self.is_idle:
            self._end()
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

    def _end_of_input(self) -> None:
        if self._is_closing:
            return
        is_waiting = self._task is not None or self._queue or self.sender.is_waiting
        if is_waiting:
            self._arrival.is_last = True
        elif self._arrival.has_head:
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
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._read_on()

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > _DISCARD_BYTES_MAX:
            self.abort()
