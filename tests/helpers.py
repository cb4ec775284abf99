"""Shared by several tests: signed headers, the envelope of a response, a store that fails."""

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Any

import pytest

from openpns import limits
from openpns.accounts.access_keys import NewSecret
from openpns.errors import BodyTooLarge
from openpns.protocol import headers as headers_module
from openpns.protocol import signing
from openpns.storage.store import Params, Row, Store, Transaction
from openpns.transport.messages import Reply, Request

MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
LIST_ALL = b'{"limit":0,"offset":0}'

# For what does not depend on the engine: the fixture database_url, but once.
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def signed_headers(
    key: NewSecret,
    action: str,
    body: bytes,
    ts: int,
    algorithm: str | None = None,
    biz_type: str = "5",
) -> list[tuple[str, str]]:
    """Return the public headers of a request, names in lower case as an HTTP server passes them."""
    signature = signing.sign(
        key.access_key, action, biz_type, str(ts), body, key.access_secret, algorithm or "md5"
    )
    headers = [
        ("accesskey", key.access_key),
        ("action", action),
        ("biztype", biz_type),
        ("ts", str(ts)),
        ("sign", signature),
    ]
    return headers if algorithm is None else [*headers, ("algorithm", algorithm)]


def hmac_signed_headers(
    key: NewSecret,
    action: str,
    body: bytes,
    ts: int,
    nonce: str,
    *,
    host: str = "pns.test",
    path: str = "/api/pns/",
) -> list[tuple[str, str]]:
    """Return the headers of a request of the HMAC scheme, names in lower case."""
    headers = headers_module.hmac_headers(
        key.access_key, action, ts, nonce, body, key.access_secret, host=host, path=path
    )
    return [(name.lower(), value) for name, value in headers.items()]


def as_request(
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    method: str = "POST",
    path: str = "/api/pns/",
    body_bytes_max: int = limits.BODY_BYTES_MAX,
    address: str = "127.0.0.1",
) -> Request:
    """Return a request as a connection gives it to the API; names of headers in lower case."""
    found: dict[bytes, bytes] = {}
    repeated = []
    for name, value in headers:
        if name.encode() in found:
            repeated.append(name.encode())
        found[name.encode()] = value.encode()
    request = Request(method.encode(), path.encode(), found, repeated, perf_counter(), body)
    request.address = address
    if len(body) > body_bytes_max:
        request.body = b""
        request.fault = BodyTooLarge(f"the body may have at most {body_bytes_max} bytes")
    return request


def headers_of(reply: Reply) -> dict[str, str]:
    """Return the headers of a response."""
    lines = reply.headers.decode().removesuffix("\r\n").split("\r\n")
    return dict(line.split(": ", 1) for line in lines)  # type: ignore[misc]


def body_of(reply: Reply) -> bytes:
    """Return the body of a response that is not sent in chunks."""
    assert isinstance(reply.body, tuple)
    return b"".join(reply.body)


def envelope_of(reply: Reply) -> dict[str, Any]:
    """Return the envelope of a response that is not sent in chunks."""
    envelope: dict[str, Any] = json.loads(body_of(reply))
    return envelope


async def read_chunks(reply: Reply, received: list[bytes] | None = None) -> list[bytes]:
    """Return the body of a chunked response; `received` has what was read before an error."""
    chunks = [] if received is None else received
    assert not isinstance(reply.body, tuple)
    async for chunk in reply.body:
        chunks.append(chunk)
    return chunks


class FailingStore:
    """A store of which one method fails; a stream fails after its first slice."""

    def __init__(self, store: Store, failing: str, error: Exception, *, after: int = 0) -> None:
        self._store = store
        self._failing = failing
        self._error = error
        self._good_calls_left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:
        self._fail("fetch")
        return await self._store.fetch(name, params)

    async def get_cached(self, name: str, value: str, since_s: float) -> Mapping[str, Any] | None:
        self._fail(name)
        return await self._store.get_cached(name, value, since_s)

    async def write(self, steps: Callable[[], Transaction[Any]], **options: Any) -> Any:
        self._fail("write")
        return await self._store.write(steps, **options)

    async def stream(
        self, name: str, params: Params, rows_each: int
    ) -> AsyncGenerator[Sequence[Row], None]:
        async with aclosing(self._store.stream(name, params, rows_each)) as slices:
            async for rows in slices:
                yield rows
                self._fail("stream")

    def _fail(self, method: str) -> None:
        if method != self._failing:
            return
        if self._good_calls_left == 0:
            raise self._error
        self._good_calls_left -= 1
