"""One HTTP/1.1 connection: bytes in, replies out, one request after another.

`answering` calls `answer` of the connections that have received something, so that they can share
what a turn of the event loop needs once; it parses, and answers some requests. No connection, and
no crowd of them, has the event loop for longer than a turn. A response that waits for nothing takes
no task. One that waits gets a task (`_finish`); what arrives meanwhile stays in `_queue` and
`_rest`, and no more is read. Those that end in the same turn are written together, too: each send
wakes a client. A request that arrives in parts is watched (`_watch_arrival`).

Source: docs/operating/serving.md, "Connections"; docs/decisions/0026-one-transport.md,
0035-bounded-turns.md and 0064-lines-of-strangers.md.
"""

from collections.abc import Coroutine
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from openpns.errors import InternalError, WireError
from openpns.transport.arrival import Arrival
from openpns.transport.closing import Closing
from openpns.transport.first_step import resumed, returned
from openpns.transport.messages import Reply, Request
from openpns.transport.sender import Sender

if TYPE_CHECKING:
    from openpns.transport.listener import Listener

_SLICE_BYTES: Final = 2 * 1024
"""Bytes parsed at once: no more requests than fit in them wait for a response."""
_SLICE_BYTES_OF_STRANGER: Final = 512
"""The same of a stranger: requests that wait are many objects, which garbage collections visit."""
_BODY_SLICE_BYTES: Final = 16 * 1024
"""The same while a body arrives."""
_REQUESTS_PER_TURN: Final = 16
"""Requests of one connection that are answered before those of others."""
_REQUESTS_OF_STRANGER: Final = 2
"""The same of a stranger. One with a correct signature makes it known."""
_FREE_BYTES: Final = 4 * 1024
"""What has just arrived is counted if it is more than this."""
_QUEUED_BYTES: Final = 1024
"""About what a parsed request takes: many times the bytes of the smallest one."""


class Connection(Closing):
    """A connection that a listener has accepted."""

    def __init__(self, listener: "Listener", address: str, place: str) -> None:
        super().__init__(listener, place, Arrival(listener, place, self._take))
        self.address = address
        self.sender = Sender(listener, self)
        self._respond = listener.responder.respond
        self._is_reading = True

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
        """Take bytes, which are parsed in `answer`."""
        self._arrival.arrived_s = perf_counter()  # for all: they may wait before they are parsed
        if self._is_closing:
            self._discard(len(data))
        elif self._arrival.is_last:  # nothing after the last request counts
            self._read_no_more()
        elif self._task is not None or self.sender.is_waiting or self._rest or self._queue:
            self._read_no_more()
            self._wait(self._rest + data)
        else:
            self._listener.answer_soon(self, self)
            if len(data) > _FREE_BYTES:
                self._wait(data, is_new=True)
            else:
                self._rest = data

    def eof_received(self) -> bool:
        """End: the client sends no more. What it has asked for is still answered."""
        if self._is_discarding:
            return False
        self._has_ended = True
        self._listener.answer_soon(self, self)
        return True

    def pause_writing(self) -> None:
        """Send no more, and read no more, until the client has taken what was sent."""
        self.sender.pause()
        self._read_no_more()

    def resume_writing(self) -> None:
        """Go on: everything was sent."""
        self.sender.resume()
        self._listener.answer_soon(self, self)

    # -- requests -------------------------------------------------------------------------------

    def answer(self) -> bool:
        """Answer some requests that have arrived, until one has to wait; then read on.

        `answering` calls this for connections that have received something, and then `flush`.

        Returns:
            Whether there is more to do in another turn.
        """
        left = _REQUESTS_PER_TURN if self.is_known else _REQUESTS_OF_STRANGER
        while self._task is None and not self.sender.is_waiting and not self._is_closing:
            if self._queue:
                if not left:
                    return self._wait(self._rest)
                left -= 1
                self._start(self._queue.popleft())
            elif self._rest:
                self._parse_rest()
            else:
                self._go_on()
                break
        if (self._queue or self._waiting_bytes) and not self._is_closing:
            self._wait(self._rest)
        return False

    def _go_on(self) -> None:
        """Read on after the requests that have arrived, or end after the last one."""
        if self._has_ended and not self._arrival.bad_status:
            self.flush()
            self._end_of_input()
            return
        self._read_on()
        if self._arrival.is_partial or self._arrival.bad_status:
            self._watch_arrival(0)
        else:
            self.deadline_s = self._listener.idle_deadline_s
            self._arrival.release()

    def _wait(self, rest: bytes, *, is_new: bool = False) -> bool:
        """Let bytes and requests wait; close the connection if there is no memory for them."""
        self._keep(rest)
        # If the headers of a request have arrived, it is answered when its body is parsed.
        has_room = self._arrival.has_head or self._listener.has_room(self.place, is_new=is_new)
        if not has_room:
            self.give_way()
        return has_room

    def _keep(self, rest: bytes) -> None:
        """Let bytes wait to be parsed; count what waits."""
        self._rest = rest
        held = len(rest) + len(self._queue) * _QUEUED_BYTES
        if held != self._waiting_bytes:
            self._listener.received_bytes += held - self._waiting_bytes
            self._waiting_bytes = held

    def _feed(self, data: bytes) -> None:
        """Parse at most a slice."""
        if not self._arrival.feed(data):
            self._watch_arrival(len(data))

    def parse(self) -> None:
        """Parse what has arrived, if nothing waits before it."""
        is_free = self._task is None and not self.sender.is_waiting and not self._is_closing
        if self._rest and is_free and not self._queue:
            self._parse_rest()

    def _parse_rest(self) -> None:
        """Parse what has arrived, up to the slice that completes a request."""
        slice_bytes = _SLICE_BYTES if self.is_known else _SLICE_BYTES_OF_STRANGER
        if len(self._rest) <= slice_bytes and not self._arrival.is_last:
            data = self._rest
            self._rest = b""
            if self._waiting_bytes:
                self._keep(b"")
            self._feed(data)
            return
        rest = b"" if self._arrival.is_last else self._rest
        self._keep(b"")
        self._rest = rest
        while self._rest and not self._queue and self._task is None and not self._is_closing:
            size = _BODY_SLICE_BYTES if self._arrival.has_head else slice_bytes
            data, self._rest = self._rest[:size], self._rest[size:]
            self._feed(data)
        self._keep(self._rest)
        if self._rest:
            self._read_no_more()

    def _take(self, request: Request) -> None:
        request.address = self.address
        self._queue.append(request)

    def _start(self, request: Request) -> None:
        """Take the first step of a response; most need no other."""
        self.is_silent = False
        coroutine = self._respond(request)
        try:
            waits_for = coroutine.send(None)
        except StopIteration as stop:
            reply = stop.value
            if reply is not None and type(reply.body) is tuple:
                self._add(request, reply)
                return
            response: Coroutine[Any, Any, Reply | None] = returned(reply)
        else:
            response = resumed(coroutine, waits_for)
        self.sender.flush()
        self._task = self._listener.loop.create_task(self._finish(request, response))

    def _add(self, request: Request, reply: Reply) -> None:
        if reply.owner:
            self.is_known = True
        self.sender.add(request, reply, is_last=self._is_last)

    async def _finish(self, request: Request, response: Coroutine[Any, Any, Reply | None]) -> None:
        """Answer a request whose response waits for something."""
        try:
            reply = await response
            if reply is None:
                self.abort()
            elif type(reply.body) is tuple:
                self._add(request, reply)
            else:
                self.is_known = self.is_known or bool(reply.owner)
                if request.is_old:
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
        self._arrival.arrived_s = perf_counter()
        for waiting in self._queue:
            waiting.arrived_s = self._arrival.arrived_s
        self._listener.answer_soon(self, self)

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
            self._listener.answer_soon(self, self)

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
        has_ended = self._arrival.is_last or (self._has_ended and not self._rest)
        return has_ended and not self._queue
