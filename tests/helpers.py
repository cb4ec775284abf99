"""Shared by several tests: signed headers, the envelope of a response, a store that fails."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from openpns.accounts.access_keys import NewSecret
from openpns.api.pipeline import Reply
from openpns.protocol import signing
from openpns.storage.store import BatchKey, Params, Row, Store, Transaction

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


def envelope_of(reply: Reply) -> dict[str, Any]:
    """Return the envelope of a response that is not sent in chunks."""
    assert isinstance(reply.body, bytes)
    envelope: dict[str, Any] = json.loads(reply.body)
    return envelope


async def read_chunks(reply: Reply, received: list[bytes] | None = None) -> list[bytes]:
    """Return the body of a chunked response; `received` has what was read before an error."""
    chunks = [] if received is None else received
    assert not isinstance(reply.body, bytes)
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

    async def get_cached(self, name: str, value: str) -> Mapping[str, Any] | None:
        self._fail(name)
        return await self._store.get_cached(name, value)

    async def write(
        self, steps: Callable[[], Transaction[Any]], *, batch_key: BatchKey | None = None
    ) -> Any:
        self._fail("write")
        return await self._store.write(steps, batch_key=batch_key)

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
