"""A process that sends requests as fast as it can on many connections, until it is stopped.

    python -m tests.promises.flood PORT CONNECTIONS ACCESS_KEY SECRET

It prints "flooding" when every connection has had a response, and at the end how often each code
came.
"""

import asyncio
import json
import re
import sys
from collections import Counter

from openpns.clock import now_ms
from openpns.protocol import signing

BODY = b'{"limit":1,"offset":0}'
_LENGTH = re.compile(rb"content-length: ([0-9]+)", re.IGNORECASE)
_CODE = re.compile(rb'"code":([0-9]+)')


def signed_request(access_key: str, secret: str, body: bytes = BODY) -> bytes:
    """Return the bytes of a listGroup, signed now; accepted for a minute."""
    ts = str(now_ms())
    sign = signing.sign(access_key, "listGroup", "5", ts, body, secret)
    head = (
        f"POST /api/pns/ HTTP/1.1\r\nHost: x\r\naccessKey: {access_key}\r\naction: listGroup\r\n"
        f"bizType: 5\r\nts: {ts}\r\nsign: {sign}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _flood(
    port: int, request: bytes, codes: Counter[str], answered: asyncio.Semaphore
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    is_first = True
    while True:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        found = length and _CODE.search(await reader.readexactly(int(length[1])))
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
    request = signed_request(access_key, secret)
    floods = [
        asyncio.create_task(_flood(port, request, codes, answered)) for _ in range(connections)
    ]
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
