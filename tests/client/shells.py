"""Both clients in front of a made-up server: each test runs with either."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
from tests.client.fake_server import ACCESS_KEY, OK, PHONE, SECRET

from openpns import AsyncClient, Client
from openpns.testing import Emulator

Handler = Callable[[httpx2.Request], httpx2.Response]
Use = Callable[[Any], Any]
Shell = Callable[..., Any]

GROUP = {
    "customerId": "cus_1",
    "groupName": "groupA",
    "groupId": "b8c2",
    "phones": f"{PHONE},85235753351",
    "remark": "Number Group A",
}


def run_sync(handler: Handler, use: Use, **settings: Any) -> Any:
    transport = httpx2.MockTransport(handler)
    with Client("https://pns.test", ACCESS_KEY, SECRET, transport=transport, **settings) as pns:
        result = use(pns)
        return list(result) if isinstance(result, Iterator) else result


def run_async(handler: Handler, use: Use, **settings: Any) -> Any:
    async def main() -> Any:
        transport = httpx2.MockTransport(handler)
        async with AsyncClient(
            "https://pns.test", ACCESS_KEY, SECRET, transport=transport, **settings
        ) as pns:
            result = use(pns)
            return await result if inspect.isawaitable(result) else [item async for item in result]

    return asyncio.run(main())


def run_live_sync(server: Emulator, use: Use) -> Any:
    """Run a use of the sync client on a real server."""
    with Client(server.base_url, server.access_key, server.access_secret) as pns:
        result = use(pns)
        return list(result) if isinstance(result, Iterator) else result


def run_live_async(server: Emulator, use: Use) -> Any:
    """Run a use of the async client on a real server."""

    async def main() -> Any:
        async with AsyncClient(server.base_url, server.access_key, server.access_secret) as pns:
            result = use(pns)
            return await result if inspect.isawaitable(result) else [item async for item in result]

    return asyncio.run(main())


class Server:
    """Sends the given responses in order, the last one repeatedly; records the requests."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def answer(**fields: Any) -> httpx2.Response:
    return httpx2.Response(200, json=OK | fields)


def page(*groups: dict[str, str], total: int = 1, **more: Any) -> httpx2.Response:
    return answer(data={"groups": list(groups), "total": total, **more})


def phones(*numbers: str) -> httpx2.Response:
    return answer(data={"phones": ",".join(numbers), "total": len(numbers)})
