from openpns.server.page_cache import Asked, PageCache

LIST = Asked("cus_1", "listGroup", None, b'{"limit":10,"offset":0}')


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
