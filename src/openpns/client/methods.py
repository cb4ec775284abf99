"""What the methods of both clients share: a function that returns a request becomes a method.

No frame here has phone numbers in a variable while a request is sent: error trackers store
tracebacks with all variables.
"""

import functools
import inspect
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, get_args, overload

from openpns.client.pages import ItemT, Pager, PageT
from openpns.client.requests import Request
from openpns.errors import WireError

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")


class Transport(Protocol):
    """What the methods of a sync client send requests with."""

    def send(self, request: Request[ResultT]) -> ResultT:
        """Send a request; return its result."""
        ...


class AsyncTransport(Protocol):
    """See `Transport`."""

    async def send(self, request: Request[ResultT]) -> ResultT:
        """Send a request; return its result."""
        ...


class SyncMethods:
    """The methods of a `Client` for one resource."""

    def __init__(self, client: Transport) -> None:
        self.client = client

    def _pages(self, pager: Pager[PageT, ItemT]) -> Iterator[ItemT]:
        while request := pager.next_request():
            yield from self._page(pager, request)

    def _page(self, pager: Pager[PageT, ItemT], request: Request[PageT]) -> Sequence[ItemT]:
        try:
            page = self.client.send(request)
        except WireError as error:
            if pager.can_fall_back(error):
                return ()
            raise
        return pager.accept(page)


class AsyncMethods:
    """The methods of an `AsyncClient` for one resource."""

    def __init__(self, client: AsyncTransport) -> None:
        self.client = client

    async def _pages(self, pager: Pager[PageT, ItemT]) -> AsyncGenerator[ItemT, None]:
        while request := pager.next_request():
            items = deque(await self._page(pager, request))
            while items:
                yield items.popleft()

    async def _page(self, pager: Pager[PageT, ItemT], request: Request[PageT]) -> Sequence[ItemT]:
        try:
            page = await self.client.send(request)
        except WireError as error:
            if pager.can_fall_back(error):
                return ()
            raise
        return pager.accept(page)


class Method(Generic[ParamsT, ResultT]):
    """A function that returns a request, as a method that also sends it: sync or async.

    If the request must reach openpns only, its `probe` is sent first.
    """

    def __init__(self, make: Callable[ParamsT, Request[ResultT]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__
        # What help() and editors show: what the method returns, not the request.
        signature = inspect.signature(make)
        (result,) = get_args(signature.return_annotation)
        self._signature = signature.replace(return_annotation=result)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: SyncMethods, kind: Any = None) -> Callable[ParamsT, ResultT]: ...

    @overload
    def __get__(
        self, owner: AsyncMethods, kind: Any = None
    ) -> Callable[ParamsT, Coroutine[Any, Any, ResultT]]: ...

    @overload
    def __get__(self, owner: None, kind: Any = None) -> Self: ...

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is None:
            return self

        @functools.wraps(self._make)
        def send(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> Any:
            request = self._make(*args, **kwargs)
            del args, kwargs
            if request.probe is None:
                return owner.client.send(request)
            return _send_probed(owner, request.probe, request)

        send.__name__ = self._name
        send.__qualname__ = f"{type(owner).__name__}.{self._name}"
        send.__signature__ = self._signature  # type: ignore[attr-defined]
        return send


def _send_probed(
    owner: SyncMethods | AsyncMethods, probe: Request[Any], request: Request[Any]
) -> Any:
    if isinstance(owner, AsyncMethods):
        return _send_probed_async(owner.client, probe, request)
    owner.client.send(probe)
    return owner.client.send(request)


async def _send_probed_async(
    client: AsyncTransport, probe: Request[Any], request: Request[Any]
) -> Any:
    await client.send(probe)
    return await client.send(request)
