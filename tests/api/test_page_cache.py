import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from openpns.api.page_cache import CacheKey, PageCache
from openpns.errors import InternalError

LIST = CacheKey("cus_1", "listGroup", None, b'{"limit":10,"offset":0}')


def test_a_page_is_found_at_its_own_version_only() -> None:
    cache = PageCache(100_000)
    assert cache.find(LIST, 7) is None
    cache.keep(LIST, 7, b"page")
    assert cache.find(LIST, 7) == b"page"
    assert cache.find(LIST, 8) is None
    cache.keep(LIST, 8, b"newer")
    assert cache.find(LIST, 7) is None
    assert cache.find(LIST, 8) == b"newer"


def test_a_page_is_found_for_what_was_asked_only() -> None:
    cache = PageCache(100_000)
    cache.keep(LIST, 7, b"page")
    for other in (
        LIST._replace(customer_id="cus_2"),
        LIST._replace(action="other"),
        LIST._replace(content_type="application/x-www-form-urlencoded"),
        LIST._replace(body=b'{"limit":11,"offset":0}'),
    ):
        assert cache.find(other, 7) is None


def test_all_pages_together_stay_within_the_bound_and_the_least_used_go_first() -> None:
    cache = PageCache(100_000)
    asked = [LIST._replace(body=b"%d" % number) for number in range(40)]
    for one in asked:
        cache.keep(one, 7, bytes(5000))
        assert cache.bytes_used <= 100_000
        assert cache.find(asked[0], 7) is not None
    kept = [one for one in asked if cache.find(one, 7) is not None]
    assert kept == [asked[0], *asked[-len(kept) + 1 :]]
    assert 100_000 - cache.bytes_used < 6000
    for one in asked:
        cache.keep(one, 8, b"")
    assert cache.bytes_used < 100_000


def test_a_page_that_would_push_all_others_out_is_not_kept() -> None:
    cache = PageCache(100_000)
    cache.keep(LIST, 7, bytes(13_000))
    assert cache.find(LIST, 7) is None
    assert cache.bytes_used == 0


def test_nothing_is_kept_where_nothing_may_be() -> None:
    cache = PageCache(0)
    cache.keep(LIST, 7, b"")
    assert cache.find(LIST, 7) is None


class Reads:
    """Reads of a page that wait until they are let go; each finds the version of its moment."""

    def __init__(self) -> None:
        self.version = 1
        self.begun = 0
        self.gate = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def read(self) -> tuple[int, bytes]:
        self.begun += 1
        version, page = self.version, b"page at %d, read %d" % (self.version, self.begun)
        await self.gate.acquire()
        if self.error is not None:
            raise self.error
        return version, page


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def ask(cache: PageCache, reads: Reads) -> "asyncio.Future[Any]":
    return asyncio.ensure_future(cache.read(LIST, reads.version, reads.read))


async def test_calls_that_miss_the_same_page_at_once_share_one_read() -> None:
    cache, reads = PageCache(100_000), Reads()
    asked = [ask(cache, reads) for _ in range(20)]
    await turn()
    reads.gate.release()
    assert await asyncio.gather(*asked) == [b"page at 1, read 1"] * 20
    assert reads.begun == 1


async def test_a_read_that_began_before_a_change_serves_no_call_that_came_after_it() -> None:
    cache, reads = PageCache(100_000), Reads()
    before = ask(cache, reads)
    await turn()
    reads.version = 2
    after = [ask(cache, reads) for _ in range(20)]
    await turn()
    reads.gate.release()
    assert await before == b"page at 1, read 1"
    await turn()
    reads.gate.release()
    assert await asyncio.gather(*after) == [b"page at 2, read 2"] * 20
    assert reads.begun == 2


async def test_a_read_that_fails_fails_its_own_call_alone() -> None:
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


async def test_a_page_that_is_not_kept_is_read_by_each_call() -> None:
    cache, reads = PageCache(0), Reads()
    asked = [ask(cache, reads) for _ in range(3)]
    for _ in range(3):
        await turn()
        reads.gate.release()
    assert len(set(await asyncio.gather(*asked))) == 3
    assert cache.bytes_used == 0


async def test_calls_for_a_page_in_pieces_that_end_in_any_order_all_get_it() -> None:
    cache = PageCache(100_000)
    gates = [asyncio.Event() for _ in range(4)]
    begun = 0

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"page"

    async def read() -> tuple[int, Any]:
        nonlocal begun
        gate, begun = gates[begun], begun + 1
        await gate.wait()
        return 1, pieces()

    asked = [asyncio.ensure_future(cache.read(LIST, 1, read)) for _ in range(4)]
    for place in (0, 1, 3, 2):  # the third and fourth are under way at once
        await turn()
        gates[place].set()
    await turn()
    assert [one.done() and one.exception() for one in asked] == [None] * 4
    for one in asked:
        assert [piece async for piece in one.result()] == [b"page"]
