import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from openpns.api.page_cache import PageCache
from openpns.errors import InternalError

LIST = ("cus_1", "listGroup", None, b'{"limit":10,"offset":0}')


def test_find_returns_a_page_of_the_same_revision_only() -> None:
    cache = PageCache(100_000)
    assert cache.find(LIST, 7) is None
    cache.add(LIST, 7, b"page")
    assert cache.find(LIST, 7) == b"page"
    assert cache.find(LIST, 8) is None
    cache.add(LIST, 8, b"newer")
    assert cache.find(LIST, 7) is None
    assert cache.find(LIST, 8) == b"newer"


def test_find_returns_a_page_of_the_same_key_only() -> None:
    cache = PageCache(100_000)
    cache.add(LIST, 7, b"page")
    for other in (
        ("cus_2", *LIST[1:]),
        (LIST[0], "other", *LIST[2:]),
        (*LIST[:2], "application/x-www-form-urlencoded", LIST[3]),
        (*LIST[:3], b'{"limit":11,"offset":0}'),
    ):
        assert cache.find(other, 7) is None


def test_add_stays_within_the_bound_and_drops_the_least_recently_used() -> None:
    cache = PageCache(100_000)
    keys = [(*LIST[:3], b"%d" % number) for number in range(40)]
    for one in keys:
        cache.add(one, 7, bytes(5000))
        assert cache.bytes_used <= 100_000
        assert cache.find(keys[0], 7) is not None
    cached = [one for one in keys if cache.find(one, 7) is not None]
    assert cached == [keys[0], *keys[-len(cached) + 1 :]]
    assert 100_000 - cache.bytes_used < 6000
    for one in keys:
        cache.add(one, 8, b"")
    assert cache.bytes_used < 100_000


def test_add_refuses_a_page_that_would_displace_all_others() -> None:
    cache = PageCache(100_000)
    cache.add(LIST, 7, bytes(13_000))
    assert cache.find(LIST, 7) is None
    assert cache.bytes_used == 0


def test_add_does_nothing_without_memory() -> None:
    cache = PageCache(0)
    cache.add(LIST, 7, b"")
    assert cache.find(LIST, 7) is None


class Reads:
    """Reads of a page that wait until they are released; each finds the revision of its start."""

    def __init__(self) -> None:
        self.revision = 1
        self.begun = 0
        self.gate = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def read(self) -> tuple[int, bytes]:
        self.begun += 1
        revision, page = self.revision, b"page at %d, read %d" % (self.revision, self.begun)
        await self.gate.acquire()
        if self.error is not None:
            raise self.error
        return revision, page


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def ask(cache: PageCache, reads: Reads) -> "asyncio.Future[Any]":
    return asyncio.ensure_future(cache.read(LIST, reads.revision, reads.read))


async def test_read_at_once_of_the_same_page_shares_one_read() -> None:
    cache, reads = PageCache(100_000), Reads()
    keys = [ask(cache, reads) for _ in range(20)]
    await turn()
    reads.gate.release()
    assert await asyncio.gather(*keys) == [b"page at 1, read 1"] * 20
    assert reads.begun == 1


async def test_read_begun_before_a_change_serves_no_later_request() -> None:
    cache, reads = PageCache(100_000), Reads()
    before = ask(cache, reads)
    await turn()
    reads.revision = 2
    after = [ask(cache, reads) for _ in range(20)]
    await turn()
    reads.gate.release()
    assert await before == b"page at 1, read 1"
    await turn()
    reads.gate.release()
    assert await asyncio.gather(*after) == [b"page at 2, read 2"] * 20
    assert reads.begun == 2


async def test_read_that_fails_fails_only_its_own_request() -> None:
    cache, reads = PageCache(100_000), Reads()
    reads.error = InternalError()
    first = ask(cache, reads)
    await turn()
    second = ask(cache, reads)
    reads.gate.release()
    with pytest.raises(InternalError):
        await first
    reads.error = None
    reads.gate.release()
    assert await second == b"page at 1, read 2"


async def test_read_without_memory_reads_for_each_request() -> None:
    cache, reads = PageCache(0), Reads()
    keys = [ask(cache, reads) for _ in range(3)]
    for _ in range(3):
        await turn()
        reads.gate.release()
    assert len(set(await asyncio.gather(*keys))) == 3
    assert cache.bytes_used == 0


async def test_read_of_chunked_pages_that_end_in_any_order_answers_all() -> None:
    cache = PageCache(100_000)
    gates = [asyncio.Event() for _ in range(4)]
    begun = 0

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"page"

    async def read() -> tuple[int, Any]:
        nonlocal begun
        gate, begun = gates[begun], begun + 1
        await gate.wait()
        return 1, chunks()

    keys = [asyncio.ensure_future(cache.read(LIST, 1, read)) for _ in range(4)]
    for place in (0, 1, 3, 2):  # the third and fourth run at once
        await turn()
        gates[place].set()
    await turn()
    assert [one.done() and one.exception() for one in keys] == [None] * 4
    for one in keys:
        fragment = one.result()
        assert not isinstance(fragment, bytes)
        assert [chunk async for chunk in fragment] == [b"page"]
