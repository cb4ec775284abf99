"""A server with a cache and one without respond alike to every request, byte for byte."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import ENGINES, create_postgres_database
from tests.simulation.effort import EFFORT
from tests.simulation.paired_servers import KEYS, Pair
from tests.simulation.stores import StaleStore

from openpns.storage import connect
from openpns.storage.store import Store

WITHOUT_CACHE: dict[str, Any] = {"cache_bytes_max": 0}

Urls = tuple[str, str]


@pytest.fixture(scope="module", params=ENGINES)
def urls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Urls:
    """Two migrated databases of one engine."""

    async def make(name: str) -> str:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('same') / name}.db"
        else:
            url = await create_postgres_database(request.getfixturevalue("postgres_server"))
        store = await connect.open_store(url, create=True)
        await connect.migrate(store, url)
        await store.close()
        return url

    return asyncio.run(make("kept")), asyncio.run(make("not-kept"))


def phones(first: int, count: int) -> str:
    return ",".join(f"8521{number:07}" for number in range(first, first + count))


# A few phones overlap with others, so that some are added twice and some deleted. Many phones pass
# the sizes at which a group is stored or sent in another way.
_PHONES = st.builds(
    phones, st.integers(0, 6), st.sampled_from([1, 1, 2, 3, 5, 127, 128, 129, 256, 257, 300, 640])
)
_WORKER = st.integers(0, 1)
_KEY = st.sampled_from([*KEYS, "key-of-cus_1", "key-of-cus_1"])
_GROUP = st.integers(0, 7)
_LIMIT = st.sampled_from([0, 1, 2, 3, 10, 10, 1000, 1001, -1])
_OFFSET = st.sampled_from([0, 0, 0, 1, 2, 3, 5, 100, 2**63 - 1, 2**63, -1])
_NAME = st.sampled_from([None, "", "a", "牛 🚚 \"quoted\" \\ 'é'"])

MISTAKES: list[dict[str, Any]] = [
    {"raw": b""},
    {"raw": b"{"},
    {"raw": b'{"limit": "10", "offset": 0}'},
    {"raw": b'{"limit": 10}'},
    {"raw": b'{ "offset": 0,\r\n "limit": 10, "more": [1] }'},
    {"changed": {"sign": "0" * 32}},
    {"secret": -2},
    {"late_ms": 60_001},
    {"changed": {"ts": "soon"}},
    {"biz_type": "6"},
    {"action": "dropGroup"},
    {"changed": {"sign": ""}},
    {"changed": {"accesskey": "no-such-key"}},
    {"method": "GET"},
    {"path": "/api/pns"},
    {"path": "/api"},
]


def _step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *arguments)


_WRITES = [
    _step("create", _WORKER, _KEY, _PHONES, _NAME),
    _step("update", _WORKER, _KEY, _GROUP, st.integers(0, 3), _PHONES),
    _step("delete", _WORKER, _KEY, _GROUP),
]
_READS = [
    _step("page", _WORKER, _KEY, _LIMIT, _OFFSET, st.integers(1, 3)),
    _step("page_on_both", _KEY, _LIMIT, _OFFSET),
]
_OPERATIONS = [
    _step("mistake", _WORKER, _KEY, st.sampled_from(MISTAKES)),
    _step("disable_for_a_while", st.sampled_from(["key", "customer"]), _KEY),
    _step("rotate", _KEY, st.sampled_from([0, 20_000])),
    _step("wait", st.sampled_from([1, 20_000, 100_000])),
]
_STEPS = st.lists(
    st.one_of(*_WRITES, *_WRITES, *_READS, *_READS, *_READS, st.one_of(_OPERATIONS)),
    min_size=10,
    max_size=40,
)


async def compare(
    urls: Urls,
    steps: Sequence[tuple[Any, ...]],
    wrap_store: Callable[[Store], Store] = lambda store: store,
) -> Counter[int]:
    """Do the same steps on both pairs; return how often each code was returned."""
    codes: Counter[int] = Counter()
    async with (
        Pair(urls[0], wrap_store) as kept,
        Pair(urls[1], lambda store: store, **WITHOUT_CACHE) as not_kept,
    ):
        for number, step in enumerate(steps):
            theirs = await not_kept.do(step)
            assert await kept.do(step) == theirs, f"step {number}: {step}"
            codes.update(json.loads(body)["code"] for _status, _headers, body in theirs)
    return codes


@given(steps=_STEPS)
@settings(
    max_examples=20 * EFFORT,
    deadline=None,
    # Each example begins with two empty databases and four workers.
    suppress_health_check=[HealthCheck.too_slow],
)
def test_cache_changes_no_response(urls: Urls, steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(compare(urls, steps))


_KEY_1 = "key-of-cus_1"
# Deletes in the middle, groups that grow past every size, and each page read again.
_LONG_RUN = [
    *(("create", number % 2, _KEY_1, phones(number, number + 1), None) for number in range(6)),
    ("update", 0, _KEY_1, 2, 0, phones(0, 120)),
    *(("update", n % 2, _KEY_1, 2, 0, phones(120 + 30 * n, 30)) for n in range(20)),
    ("delete", 1, _KEY_1, 1),
    ("update", 0, _KEY_1, 2, 1, phones(10, 400)),
    ("delete", 0, _KEY_1, 3),
]


async def test_cache_changes_no_response_in_a_long_run(urls: Urls) -> None:
    steps: list[tuple[Any, ...]] = []
    for step in _LONG_RUN:
        pages = [(10, 0), (0, 0), (2, 1), (1, 4), (3, 100)]
        steps += [step, *(("page_on_both", _KEY_1, *page) for page in pages)]
    steps += [("mistake", 0, _KEY_1, mistake) for mistake in MISTAKES]
    steps += [("disable_for_a_while", what, _KEY_1) for what in ("key", "customer")]
    steps += [("rotate", _KEY_1, 0), ("mistake", 1, _KEY_1, {"secret": -2})]
    steps += [("wait", 100_000), ("page_on_both", "brief-of-cus_1", 10, 0)]
    codes = await compare(urls, steps)
    assert set(codes) >= {0, 1001, 1002, 1003, 1004, 1005, 19002}
    assert codes[0] > 400


async def test_compare_notices_a_stale_response(urls: Urls) -> None:
    pages = [("page_on_both", _KEY_1, 10, 0)]
    with pytest.raises(AssertionError, match="step 2: "):
        await compare(urls, [*pages, _LONG_RUN[0], *pages], StaleStore)
