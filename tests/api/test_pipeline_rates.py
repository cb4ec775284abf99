from tests.api.conftest import Server
from tests.helpers import envelope_of, headers_of, on_sqlite_only

from openpns.accounts import access_keys
from openpns.accounts.access_keys import NewSecret
from openpns.core.rate_limits import RateLimits
from openpns.transport.messages import Reply

SECOND_NS = 10**9


class Ticks:
    """A clock in ns that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 5 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns


def retry_after(reply: Reply) -> str | None:
    return headers_of(reply).get("retry-after")


SMALL_PAGE = b'{"limit":10,"offset":0}'
"""A request that costs one unit of its rate."""


async def test_respond_answers_19003_above_the_rate_and_does_nothing(server: Server) -> None:
    clock = Ticks()
    server.make_api(rates=RateLimits(2, 0, 1, clock))
    body = b'{"phones":"85211111114"}'
    codes = [await server.code("createGroup", other) for other in (body, body + b" ")]
    refused = await server.send("createGroup", body)
    assert (codes, refused.status, retry_after(refused)) == ([0, 0], 200, "1")
    envelope = envelope_of(refused)
    assert envelope["code"] == 19003
    assert envelope["msg"] == (
        "Too many requests: this accessKey may send 2 requests a second; nothing was done; send "
        "the request again in 1 s"
    )
    clock.now_ns += SECOND_NS // 2
    page = envelope_of(await server.send(body=SMALL_PAGE))
    assert page["data"]["total"] == 2
    (line,) = server.log.lines
    assert (line["code"], line["level"], line["access_key"]) == (
        19003,
        "warning",
        server.key.access_key,
    )


async def test_rate_of_a_key_applies_from_the_next_request_on(server: Server) -> None:
    store, access_key = server.services.store, server.key.access_key
    server.make_api(rates=RateLimits(0, 0, 1, Ticks()))
    assert [await server.code(body=SMALL_PAGE) for _ in range(3)] == [0, 0, 0]
    await access_keys.set_rate(store, access_key, 1, 2)
    assert [await server.code(body=SMALL_PAGE) for _ in range(3)] == [0, 0, 19003]
    await access_keys.set_rate(store, access_key, 0, None)
    assert [await server.code(body=SMALL_PAGE) for _ in range(3)] == [0, 0, 0]


@on_sqlite_only
async def test_cached_page_is_charged_to_the_rate(server: Server) -> None:
    server.make_api(rates=RateLimits(3, 0, 1, Ticks()), cache_bytes_max=1 << 20)
    assert [await server.code(body=SMALL_PAGE) for _ in range(5)] == [0, 0, 0, 19003, 19003]


@on_sqlite_only
async def test_request_without_the_secret_is_not_charged_to_the_rate(server: Server) -> None:
    server.make_api(rates=RateLimits(1, 0, 1, Ticks()))
    wrong = NewSecret(server.key.access_key, "another-secret", "cus_1")
    assert [await server.code(key=wrong) for _ in range(3)] == [1003] * 3
    assert await server.code(ts=server.clock() - 60_001) == 1004
    assert await server.code(body=SMALL_PAGE) == 0
    assert await server.code(key=wrong) == 1003
    assert await server.code(body=SMALL_PAGE) == 19003


@on_sqlite_only
async def test_rate_is_charged_after_authentication_and_before_action_and_body(
    server: Server,
) -> None:
    for sent, code in (({"action": "noSuchAction"}, 1002), ({"body": b"no JSON"}, 1002)):
        server.make_api(rates=RateLimits(1, 0, 1, Ticks()))
        assert await server.code(**sent) == code
        assert await server.code("noSuchAction") == 19003
        assert await server.code(body=b"no JSON") == 19003
    assert await server.code(biz_type="4") == 1002
    await access_keys.disable(server.services.store, server.key.access_key, server.clock())
    assert await server.code() == 1005


@on_sqlite_only
async def test_jump_of_the_wall_clock_changes_no_rate(server: Server) -> None:
    server.make_api(rates=RateLimits(1, 0, 1, Ticks()))
    assert await server.code(body=SMALL_PAGE) == 0
    for jump_ms in (86_400_000, -2 * 86_400_000):
        server.clock.now_ms += jump_ms
        assert await server.code() == 19003


@on_sqlite_only
async def test_request_is_charged_the_rest_of_its_cost_after_its_body(server: Server) -> None:
    large = b'{"limit":1000,"offset":0}'  # costs 10
    server.make_api(rates=RateLimits(12, 0, 1, Ticks()), cache_bytes_max=0)
    assert await server.code(body=large) == 0
    assert await server.code(body=large) == 19003  # its one unit stays charged
    assert [await server.code(body=SMALL_PAGE) for _ in range(2)] == [0, 19003]


@on_sqlite_only
async def test_response_from_the_cache_costs_one_unit(server: Server) -> None:
    large = b'{"limit":1000,"offset":0}'
    server.make_api(rates=RateLimits(12, 0, 1, Ticks()), cache_bytes_max=1 << 20)
    assert [await server.code(body=large) for _ in range(4)] == [0, 0, 0, 19003]


@on_sqlite_only
async def test_rate_of_a_customer_is_shared_by_its_keys(server: Server) -> None:
    server.make_api(rates=RateLimits(0, 0, 1, Ticks(), customer_per_s=3))
    other = await access_keys.create(
        server.services.store, server.secret_box, server.clock, "cus_1", rate_per_s=0
    )
    keys = (server.key, other, server.key, other)
    codes = [await server.code(body=SMALL_PAGE, key=key) for key in keys]
    assert codes == [0, 0, 0, 19003]
