import pytest
from tests.api.conftest import Server
from tests.helpers import LIST_ALL, envelope_of, on_sqlite_only

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.api.authentication import read_headers
from openpns.errors import MissingHeaders, ParameterError, TimestampExpired

REQUIRED = {"accesskey": "accessKey", "action": "action", "biztype": "bizType", "ts": "ts"}


def _headers(**changed: str) -> list[tuple[str, str]]:
    headers = {"accesskey": "k", "action": "a", "biztype": "5", "ts": "1", "sign": "s"}
    return list((headers | changed).items())


async def test_a_disabled_key_is_refused_from_the_next_call_on(server: Server) -> None:
    assert await server.code() == 0
    store, access_key = server.services.store, server.key.access_key
    await access_keys.disable(store, access_key, server.clock())
    assert await server.code() == 1005
    await access_keys.disable(store, access_key, None)
    assert await server.code() == 0


async def test_a_disabled_customer_is_refused_from_the_next_call_on(server: Server) -> None:
    assert await server.code() == 0
    store = server.services.store
    await customers.disable(store, "cus_1", server.clock())
    assert await server.code() == 1005
    await customers.disable(store, "cus_1", None)
    assert await server.code() == 0


async def test_a_key_is_refused_from_the_moment_it_expires(server: Server) -> None:
    expires = server.clock() + 10_000
    short = await access_keys.create(
        server.services.store, server.secret_box, server.clock, "cus_1", expires_ms=expires
    )
    server.clock.now_ms = expires - 1
    assert await server.code(key=short) == 0
    server.clock.now_ms = expires
    assert await server.code(key=short) == 1005


async def test_after_a_rotation_both_secrets_are_good_until_the_grace_ends(server: Server) -> None:
    old = server.key
    new = await access_keys.rotate(
        server.services.store, server.secret_box, server.clock, old.access_key, 10_000
    )
    assert new.access_secret != old.access_secret
    server.clock.now_ms += 9_999
    assert await server.code(key=old) == 0
    assert await server.code(key=new) == 0
    server.clock.now_ms += 1
    assert await server.code(key=old) == 1003
    assert await server.code(key=new) == 0


async def test_a_rotation_without_grace_refuses_the_old_secret_at_once(server: Server) -> None:
    old = server.key
    new = await access_keys.rotate(
        server.services.store, server.secret_box, server.clock, old.access_key, 0
    )
    assert await server.code(key=old) == 1003
    assert await server.code(key=new) == 0


@on_sqlite_only
@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
async def test_both_digests_sign(server: Server, algorithm: str) -> None:
    assert await server.code(algorithm=algorithm) == 0


@on_sqlite_only
async def test_a_signature_of_one_digest_is_none_of_the_other(server: Server) -> None:
    headers = [*server.headers(), ("algorithm", "sha256")]
    assert await server.code(headers=headers) == 1003


@on_sqlite_only
@pytest.mark.parametrize("skew_ms", [-60_000, 0, 60_000])
async def test_a_call_up_to_60_seconds_off_is_fresh(server: Server, skew_ms: int) -> None:
    assert await server.code(ts=server.clock() + skew_ms) == 0


@on_sqlite_only
@pytest.mark.parametrize("skew_ms", [-60_001, 60_001])
async def test_a_call_more_than_60_seconds_off_is_late(server: Server, skew_ms: int) -> None:
    reply = await server.send(ts=server.clock() + skew_ms)
    assert envelope_of(reply)["code"] == 1004
    assert "60000 ms" in envelope_of(reply)["msg"]


@on_sqlite_only
async def test_the_body_counts_byte_for_byte(server: Server) -> None:
    headers = server.headers(body=LIST_ALL)
    assert await server.code(body=LIST_ALL + b" ", headers=headers) == 1003


@on_sqlite_only
async def test_the_error_shows_no_signature_that_would_have_been_right(server: Server) -> None:
    right = dict(server.headers())["sign"]
    wrong = [(name, "0" * 32 if name == "sign" else value) for name, value in server.headers()]
    reply = await server.send(headers=wrong)
    assert envelope_of(reply)["msg"] == "Invalid signature"
    assert right not in server.log.text


@on_sqlite_only
async def test_an_unknown_key_and_another_keys_signature_are_refused(server: Server) -> None:
    unknown = NewSecret("no-such-key", server.key.access_secret, "cus_1")
    assert await server.code(key=unknown) == 1005
    other = await access_keys.create(
        server.services.store, server.secret_box, server.clock, "cus_1"
    )
    mixed = NewSecret(server.key.access_key, other.access_secret, "cus_1")
    assert await server.code(key=mixed) == 1003


@on_sqlite_only
async def test_another_biz_type_is_refused_even_when_signed(server: Server) -> None:
    assert await server.code(biz_type="4") == 1002


def test_every_missing_or_empty_header_is_named() -> None:
    with pytest.raises(MissingHeaders, match="accessKey, action, bizType, ts, sign"):
        read_headers([])
    with pytest.raises(MissingHeaders, match=r": bizType, sign$"):
        read_headers(_headers(biztype="", sign=""))


@pytest.mark.parametrize("name", REQUIRED)
def test_a_header_that_is_sent_twice_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ParameterError, match=f"{REQUIRED[name]} must be sent once"):
        read_headers([*_headers(), (name, "again")])


def test_a_header_of_another_kind_may_be_sent_twice() -> None:
    headers = read_headers([*_headers(), ("accept", "a"), ("accept", "b")])
    assert headers.access_key == "k"


@pytest.mark.parametrize("ts", ["now", "-1", "1.5", "１", "1 ", "1" * 20])
def test_a_ts_that_is_no_time_is_expired(ts: str) -> None:
    with pytest.raises(TimestampExpired, match="in digits"):
        read_headers(_headers(ts=ts))


def test_an_unknown_algorithm_is_refused_and_an_empty_one_is_md5() -> None:
    with pytest.raises(ParameterError, match="md5 or sha256"):
        read_headers(_headers(algorithm="sha1"))
    assert read_headers(_headers(algorithm="")).algorithm == "md5"
