"""A process that sends requests as fast as it can on many connections, until it is stopped.

    python -m tests.promises.flood PORT CONNECTIONS ACCESS_KEY SECRET

The first line of stdin is a JSON array of actions, each with its body; each connection sends one
of them. {n} in a body becomes a new number for each request. It prints "flooding" when every
connection has had a response, and at the end how often each code came.
"""

import asyncio
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator

from openpns.clock import now_ms
from openpns.protocol import signing

_LENGTH = re.compile(rb"content-length: ([0-9]+)", re.IGNORECASE)
_CODE = re.compile(rb'"code":([0-9]+)')
_RESPONSE_BYTES_MAX = 2**28
_NUMBERS = itertools.count()


def signed_request(access_key: str, secret: str, action: str, body: bytes) -> bytes:
    """Return the bytes of a request, signed now; accepted for a minute."""
    ts = str(now_ms())
    sign = signing.sign(access_key, action, "5", ts, body, secret)
    head = (
        f"POST /api/pns/ HTTP/1.1\r\nHost: x\r\naccessKey: {access_key}\r\naction: {action}\r\n"
        f"bizType: 5\r\nts: {ts}\r\nsign: {sign}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _requests(access_key: str, secret: str, action: str, body: str) -> Iterator[bytes]:
    """Return the requests of one connection."""
    if "{n}" not in body:
        return itertools.repeat(signed_request(access_key, secret, action, body.encode()))
    return (
        signed_request(access_key, secret, action, body.replace("{n}", str(number)).encode())
        for number in _NUMBERS
    )


async def _flood(
    port: int, requests: Iterator[bytes], codes: Counter[str], answered: asyncio.Semaphore
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_RESPONSE_BYTES_MAX)
    is_first = True
    for request in requests:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length:
            body = await reader.readexactly(int(length[1]))
        else:  # in chunks, of which the last one is empty
            body = await reader.readuntil(b"\r\n0\r\n\r\n")
        found = _CODE.search(body)
        if not found:
            raise ConnectionError(f"not a response of the API: {head!r}")
        codes[found[1].decode()] += 1
        if is_first:
            is_first = False
            answered.release()


async def main(port: int, connections: int, access_key: str, secret: str) -> None:
    """Send requests until a line arrives on stdin."""
    codes: Counter[str] = Counter()
    answered = asyncio.Semaphore(0)
    kinds = itertools.cycle(json.loads(sys.stdin.readline()))
    floods = []
    for action, body in itertools.islice(kinds, connections):
        requests = _requests(access_key, secret, action, json.dumps(body))
        floods.append(asyncio.create_task(_flood(port, requests, codes, answered)))
    for _ in floods:
        await answered.acquire()
    sys.stdout.write("flooding\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    failed = [flood for flood in floods if flood.done()]
    for flood in floods:
        flood.cancel()
    sys.stdout.write(json.dumps({"codes": codes, "ended early": len(failed)}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
